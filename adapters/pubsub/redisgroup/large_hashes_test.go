package pubsub_test

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestLargeHashes_AreReadInPages has a member acquire a partition, and reload it, while the group has many chats left to the log, failing chats and
// dead letters to be redelivered. No command may read one of these hashes whole, which would block Redis.
func TestLargeHashes_AreReadInPages(t *testing.T) {
	const n, page = 3000, 1000
	r := newRig(t, redistest.Start(t), 1)
	first := r.start(beginning(r.config("g")), nothing)
	r.reading("g")
	first.stop()
	ctx, partition := t.Context(), ""
	for _, key := range r.client.Keys(ctx, "*g:state:g").Val() {
		partition = strings.TrimSuffix(key, "state:g")
		for hash, value := range map[string]string{"left": "parked", "failing": "1:1", "again": ""} {
			var fields []any
			for i := range n {
				fields = append(fields, fmt.Sprintf("%d-%d", i+1, i), value)
			}
			if err := r.client.HSet(ctx, partition+hash+":g", fields...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	calls := func(command string) (n int) {
		stats := r.client.InfoMap(ctx, "commandstats").Val()["Commandstats"]["cmdstat_"+command]
		_, _ = fmt.Sscanf(stats, "calls=%d,", &n)
		return n
	}
	if err := r.client.ConfigResetStat(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	r.start(r.config("g"), nothing)
	until(t, "a member has read all three", func() bool { return calls("hscan") >= 3*n/page || calls("hgetall") > 0 })
	acquired := calls("hscan")
	if err := r.client.HIncrBy(ctx, partition+"state:g", "revision", 1).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the member has looked again", func() bool { return calls("hscan") >= acquired+2*n/page || calls("hgetall") > 0 })
	if n := calls("hgetall"); n > 0 {
		t.Errorf("HGETALL was called %d times", n)
	}

	// Operators read the same hashes.
	groups := r.groups()
	for what, read := range map[string]func() error{
		"fsck": func() error {
			return groups.Fsck(ctx, pubsub.FsckConfig{Backlog: r.log, Codec: wireformat.New(), Report: func(ports.Contradiction) error { return nil }})
		},
	} {
		before := calls("hscan")
		if err := read(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if pages := calls("hscan") - before; pages < n/page {
			t.Errorf("%s: %d calls of HSCAN, want at least %d", what, pages, n/page)
		}
	}
}

// TestDeadLetters_CostOfAPage reads a page of many dead letters. Its commands must not depend on the number before it, nor on the number of
// those that are to be redelivered.
func TestDeadLetters_CostOfAPage(t *testing.T) {
	const n, page = 3000, 50
	r := newRig(t, redistest.Start(t), 1)
	first := r.start(beginning(r.config("g")), nothing)
	r.reading("g")
	first.stop()
	ctx := t.Context()
	state := r.client.Keys(ctx, "*g:state:g").Val()[0]
	partition := strings.TrimSuffix(state, "state:g")
	if _, err := r.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range n {
			id := fmt.Sprintf("%d-0", i+1)
			p.XAdd(ctx, &goredis.XAddArgs{Stream: partition + "dead:g", ID: id, Values: []any{"reason", "bad", "attempts", 1}})
			p.HSet(ctx, partition+"again:g", id, "1")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, start := range []int{0, n / 2, n - page} {
		if err := r.client.ConfigResetStat(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		after, read := "", 0
		if start > 0 {
			after = fmt.Sprintf("0/%d-0", start)
		}
		for d, err := range r.groups().DeadLettersAfter(ctx, "g", after) {
			if err != nil {
				t.Fatal(err)
			}
			read++
			if want := fmt.Sprintf("0/%d-0", start+read); d.ID != want || !d.Again {
				t.Fatalf("letter %d after %q: %+v", read, after, d)
			}
			if read == page {
				break
			}
		}
		stats := r.client.InfoMap(ctx, "commandstats").Val()["Commandstats"]
		for command, want := range map[string]string{"xrange": "calls=1,", "hmget": "calls=1,", "hscan": "", "hgetall": ""} {
			if got := stats["cmdstat_"+command]; read != page || !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%d letters after %q: %s %q, want %q", read, after, command, got, want)
			}
		}
	}
}
