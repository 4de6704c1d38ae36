//go:build interop

package interop

import (
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// TestThePeerReadsWhoIsTyping reads the typing mark with the guide's get.
func TestThePeerReadsWhoIsTyping(t *testing.T) {
	core, p := both(t)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "room", Actor: "ada"}))
	must[bool](t)(core.Chats.StartTyping(t.Context(), domain.Typing{Chat: "room", Actor: "ada"}))
	if !does[bool](p, "get", "typing:room:ada") {
		t.Error("the mark is not true")
	}
	if ttl := does[int](p, "ttl", "typing:room:ada"); ttl < 0 || ttl > 5 {
		t.Errorf("it lives for %d s", ttl)
	}
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "room", Actor: "ada", Content: "x"}))
	if mark := does[any](p, "get", "typing:room:ada"); mark != nil {
		t.Errorf("after the message there is %v", mark)
	}
}

// TestThePeerCountsOnTheSameLimit counts the attempts of one user on both sides.
func TestThePeerCountsOnTheSameLimit(t *testing.T) {
	core, p := both(t)
	if d := must[ports.Decision](t)(core.Limits.Allow(t.Context(), app.LimitLogin, "ada")); d.Remaining != 4 {
		t.Errorf("after one attempt: %+v", d)
	}
	if n := does[int](p, "incrWithExpiry", "ratelimit:login:ada", 900); n != 2 {
		t.Errorf("the peer counts %d", n)
	}
	if n := does[int](p, "incrWithExpiry", "ratelimit:login:ben", 900); n != 1 {
		t.Errorf("the peer counts %d for someone else", n)
	}
	for user, left := range map[string]int{"ada": 2, "ben": 3} {
		if d := must[ports.Decision](t)(core.Limits.Allow(t.Context(), app.LimitLogin, user)); d.Remaining != left || d.ResetAfter > 15*time.Minute {
			t.Errorf("%s: %+v, want %d left", user, d, left)
		}
		if ttl := does[int](p, "ttl", "ratelimit:login:"+user); ttl < 800 || ttl > 900 {
			t.Errorf("%s's counter lives for %d s", user, ttl)
		}
	}
}

// TestThePeerReadsUnreadCounts reads the hash of a user's counts.
func TestThePeerReadsUnreadCounts(t *testing.T) {
	core, p := both(t)
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "room", Actor: "ada"}))
	must[app.Done](t)(core.Chats.Add(t.Context(), domain.Add{Chat: "room", Actor: "ada", User: "ben"}))
	for range 3 {
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "room", Actor: "ada", Content: "x"}))
	}
	eventually(t, func() bool { return does[map[string]string](p, "hgetall", "chat:unread:ben")["room"] == "3" })
}
