//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"chatcore"
	"chatcore/helpers"
)

// profile is a value that JSON.stringify and Go's encoding/json write differently by default.
type profile struct {
	Name   string   `json:"name"`
	Tags   []string `json:"tags"`
	Age    int      `json:"age"`
	Nobody *string  `json:"nobody"`
}

func someone() profile {
	return profile{Name: "Ada <ada@example.org> & “co” \u2028", Tags: []string{"a", "b"}, Age: 36}
}

// TestValuesGoBothWays sets on one side and gets on the other, in each of the guide's ways to set.
func TestValuesGoBothWays(t *testing.T) {
	core, p := both(t)
	h, ctx, want := core.Helpers, t.Context(), someone()
	check := func(what string, got profile) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func(key string) profile {
		t.Helper()
		value, found, err := helpers.Get[profile](ctx, h, key)
		if err != nil || !found {
			t.Fatalf("%s: found %v, %v", key, found, err)
		}
		return value
	}

	no(h.Set(ctx, "session:token", want, time.Hour))
	check("they get what we set", does[profile](p, "get", "session:token"))
	if ttl := does[int](p, "ttl", "session:token"); ttl < 3590 || ttl > 3600 {
		t.Errorf("they see a TTL of %d s", ttl)
	}
	no(h.SetPermanent(ctx, "user:status:ada", want))
	check("they get what we set for good", does[profile](p, "get", "user:status:ada"))
	if ttl := does[int](p, "ttl", "user:status:ada"); ttl != -1 {
		t.Errorf("they see a TTL of %d s", ttl)
	}
	does[any](p, "set", "profile:theirs", want, 600)
	check("we get what they set", get("profile:theirs"))
	does[any](p, "setPermanent", "profile:theirs", want)
	check("we get what they set for good", get("profile:theirs"))

	// Both sides write the same text for a value.
	no(h.Set(ctx, "profile:ours", want, time.Hour))
	if a, b := does[string](p, "raw", "profile:ours"), does[string](p, "raw", "profile:theirs"); a != b {
		t.Errorf("we write\n%s\nthey write\n%s", a, b)
	}

	for _, key := range []string{"session:token", "profile:theirs"} {
		does[any](p, "del", key)
		if _, found, err := helpers.Get[profile](ctx, h, key); found || err != nil {
			t.Errorf("after their del of %s: found %v, %v", key, found, err)
		}
	}
	if n, err := h.Del(ctx, "profile:ours", "user:status:ada"); n != 2 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if left := does[any](p, "get", "profile:ours"); left != nil {
		t.Errorf("after our del they get %v", left)
	}
	if null := does[any](p, "get", "never set"); null != nil {
		t.Errorf("a miss is %v to them", null)
	}
}

// TestGetOrSetGoesBothWays has each side find the result of the other side's loader.
func TestGetOrSetGoesBothWays(t *testing.T) {
	core, p := both(t)
	type found struct {
		Value profile `json:"value"`
		Asked bool    `json:"asked"`
	}
	asked := 0
	load := func(context.Context) (profile, error) { asked++; return someone(), nil }
	for range 2 {
		value, err := helpers.GetOrSet(t.Context(), core.Helpers, "user:status:a", time.Minute, load)
		if err != nil || !reflect.DeepEqual(value, someone()) || asked != 1 {
			t.Errorf("we get %+v, %v, asked %d times", value, err, asked)
		}
	}
	if f := does[found](p, "getOrSet", "user:status:a", 300, profile{Name: "other"}); f.Asked || !reflect.DeepEqual(f.Value, someone()) {
		t.Errorf("they get %+v", f)
	}
	if f := does[found](p, "getOrSet", "user:status:b", 300, someone()); !f.Asked {
		t.Errorf("they get %+v", f)
	}
	if value, err := helpers.GetOrSet(t.Context(), core.Helpers, "user:status:b", time.Minute, load); err != nil || asked != 1 || !reflect.DeepEqual(value, someone()) {
		t.Errorf("we get %+v, %v, asked %d times", value, err, asked)
	}
}

// TestPatternsGoBothWays logs a user out everywhere, as the guide does, from either side.
func TestPatternsGoBothWays(t *testing.T) {
	core, p := both(t)
	set := func() {
		t.Helper()
		for _, key := range []string{"session:ada:1", "session:ada:2", "session:adam:1"} {
			if err := core.Helpers.Set(t.Context(), key, true, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func() (keys []string) {
		t.Helper()
		for _, key := range []string{"session:ada:1", "session:ada:2", "session:adam:1"} {
			if does[any](p, "get", key) != nil {
				keys = append(keys, key)
			}
		}
		return keys
	}
	set()
	if n, err := core.Helpers.DelPattern(t.Context(), "session:"+chatcore.EscapeKey("ada")+":*"); n != 2 || err != nil {
		t.Errorf("we removed %d, %v", n, err)
	}
	if keys := left(); !slices.Equal(keys, []string{"session:adam:1"}) {
		t.Errorf("left are %v", keys)
	}
	set()
	does[any](p, "delPattern", "session:ada:*")
	if keys := left(); !slices.Equal(keys, []string{"session:adam:1"}) {
		t.Errorf("they left %v", keys)
	}
}

// TestCountersAndSetsAreShared counts, and adds to sets, from both sides.
func TestCountersAndSetsAreShared(t *testing.T) {
	core, p := both(t)
	h, ctx := core.Helpers, t.Context()
	for i := int64(1); i < 6; i += 2 {
		if n := must[int64](t)(h.Incr(ctx, "message:count:c")); n != i {
			t.Errorf("we count %d, want %d", n, i)
		}
		if n := does[int64](p, "incr", "message:count:c"); n != i+1 {
			t.Errorf("they count %d, want %d", n, i+1)
		}
		if n := must[int64](t)(h.IncrWithExpiry(ctx, "ratelimit:login:ada", 15*time.Minute)); n != i {
			t.Errorf("we count %d attempts, want %d", n, i)
		}
		if n := does[int64](p, "incrWithExpiry", "ratelimit:login:ada", 900); n != i+1 {
			t.Errorf("they count %d attempts, want %d", n, i+1)
		}
	}
	if ttl := does[int](p, "ttl", "ratelimit:login:ada"); ttl < 890 || ttl > 900 {
		t.Errorf("the attempts end in %d s", ttl)
	}

	const friends = "friends:ada"
	must[int](t)(h.SAdd(ctx, friends, "ben", "cleo"))
	if n := does[int](p, "sadd", friends, "cleo", "dan"); n != 1 {
		t.Errorf("they added %d", n)
	}
	if !does[bool](p, "sismember", friends, "ben") || !must[bool](t)(h.SIsMember(ctx, friends, "dan")) {
		t.Error("what the other side added is not in the set")
	}
	if n := must[int](t)(h.SRem(ctx, friends, "dan", "nobody")); n != 1 {
		t.Errorf("we removed %d", n)
	}
	ours, theirs := must[[]string](t)(h.SMembers(ctx, friends)), does[[]string](p, "smembers", friends)
	slices.Sort(ours)
	slices.Sort(theirs)
	if !slices.Equal(ours, []string{"ben", "cleo"}) || !slices.Equal(theirs, ours) {
		t.Errorf("we see %v, they see %v", ours, theirs)
	}
}

// TestMessagesGoBothWays publishes and subscribes with the helpers of each side.
func TestMessagesGoBothWays(t *testing.T) {
	core, p := both(t)
	heard := make(chan json.RawMessage, 4)
	if _, err := core.Helpers.Subscribe(t.Context(), "notice", func(_ context.Context, payload json.RawMessage) { heard <- payload }); err != nil {
		t.Fatal(err)
	}
	does[any](p, "subscribe", "notice")
	if n := does[int](p, "publish", "notice", map[string]any{"text": "from them"}); n != 2 {
		t.Errorf("%d heard them", n)
	}
	if got := string(next(t, heard)); got != `{"text":"from them"}` {
		t.Errorf("we heard %s", got)
	}
	if m := p.message("notice"); m["text"] != "from them" {
		t.Errorf("they heard %v of themselves", m)
	}
	if err := core.Helpers.Publish(t.Context(), "notice", map[string]string{"text": "from us"}); err != nil {
		t.Fatal(err)
	}
	if m := p.message("notice"); m["text"] != "from us" {
		t.Errorf("they heard %v", m)
	}
	next(t, heard)
	if n := core.Helpers.Unsubscribe("notice"); n != 1 {
		t.Errorf("%d subscriptions ended", n)
	}
	eventually(t, func() bool { return does[int](p, "publish", "notice", map[string]any{}) == 1 })
}
