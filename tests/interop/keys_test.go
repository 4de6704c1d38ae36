//go:build interop

package interop

import (
	"testing"

	"chatcore/app"
)

// TestThePeerReadsWhoIsTyping shows the typing mark as the guide's get gives it.
func TestThePeerReadsWhoIsTyping(t *testing.T) {
	core, p := both(t)
	must[app.Done](t)(core.Chats.Create(t.Context(), app.Create{Chat: "room", By: "ada"}))
	must[bool](t)(core.Chats.StartTyping(t.Context(), app.Typing{Chat: "room", By: "ada"}))
	if !does[bool](p, "get", "typing:room:ada") {
		t.Error("the mark is not true")
	}
	if ttl := does[int](p, "ttl", "typing:room:ada"); ttl < 0 || ttl > 5 {
		t.Errorf("it lives for %d s", ttl)
	}
	must[app.Sent](t)(core.Chats.Send(t.Context(), app.Send{Chat: "room", By: "ada", Content: "x"}))
	if mark := does[any](p, "get", "typing:room:ada"); mark != nil {
		t.Errorf("after the message there is %v", mark)
	}
}

// TestThePeerReadsUnreadCounts shows the hash of a user's counts.
func TestThePeerReadsUnreadCounts(t *testing.T) {
	core, p := both(t)
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), app.Create{Chat: "room", By: "ada"}))
	must[app.Done](t)(core.Chats.Add(t.Context(), app.Add{Chat: "room", By: "ada", User: "ben"}))
	for range 3 {
		must[app.Sent](t)(core.Chats.Send(t.Context(), app.Send{Chat: "room", By: "ada", Content: "x"}))
	}
	eventually(t, func() bool { return does[map[string]string](p, "hgetall", "chat:unread:ben")["room"] == "3" })
}
