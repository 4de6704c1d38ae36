package pubsub_test

import (
	"errors"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestAHole_IsNeverTheEnd has a group catch up with chats whose log has holes. It waits for the missing data, continues with the other chats, and
// delivers everything once the data is restored.
func TestAHole_IsNeverTheEnd(t *testing.T) {
	t.Parallel()
	for name, hole := range map[string]struct {
		part string // of the chat's keys, or of the partition's
		chat domain.ChatID
	}{
		"a segment":        {part: "bad:0", chat: "bad"},
		"a later segment":  {part: "bad:1", chat: "bad"},
		"the index":        {part: "bad:x", chat: "bad"},
		"the set of chats": {part: "chats"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Shared(t), 1)
			e := newEffects()
			r.send(1500, "bad")
			r.send(3, "good", "better")
			ctx := t.Context()
			if err := r.client.Del(ctx, r.topic()).Err(); err != nil {
				t.Fatal(err)
			}
			key := r.partitions[0].Base + hole.part
			kept, err := r.client.Dump(ctx, key).Result()
			if err == nil {
				err = r.client.Del(ctx, key).Err()
			}
			if err != nil {
				t.Fatal(err)
			}
			r.start(beginning(r.config("g")), e.around(nothing))
			until(t, "the hole is listed", func() bool {
				holes := r.counters.Holes.List()
				return len(holes) == 1 && holes[0].Group == "g" && holes[0].Chat == hole.chat && errors.Is(holes[0].Err, ports.ErrCorrupt)
			})
			if hole.chat != "" {
				until(t, "the others are delivered", func() bool { return e.done("good") == 3 && e.done("better") == 3 })
				until(t, "the chat is left behind", func() bool { return r.partition("g").Behind == 1 })
			}
			if n := e.done("bad"); n >= 1500 {
				t.Errorf("%d events of the chat were delivered", n)
			}
			if n := r.counters.PhantomEntries.Load(); n != 0 {
				t.Errorf("%d events are said to be in no log", n)
			}
			if err := r.client.Restore(ctx, key, 0, kept).Err(); err != nil {
				t.Fatal(err)
			}
			e.complete(r)
			e.once(t)
			until(t, "nothing is listed", func() bool { return len(r.counters.Holes.List()) == 0 && r.partition("g").Behind == 0 })
		})
	}
}

// TestAHole_DoesNotKeepOthersFromTheLog has more chats with holes than may catch up side by side.
func TestAHole_DoesNotKeepOthersFromTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	bad := chats(600)
	r.send(1, bad...)
	for _, chat := range bad {
		if err := r.client.Del(t.Context(), r.partitions[0].Base+string(chat)+":0").Err(); err != nil {
			t.Fatal(err)
		}
	}
	r.send(2, "good")
	if err := r.client.Del(t.Context(), r.topic()).Err(); err != nil {
		t.Fatal(err)
	}
	r.start(beginning(r.config("g")), e.around(nothing))
	until(t, "the good one is delivered", func() bool { return e.done("good") == 2 })
	until(t, "all holes are listed", func() bool { return len(r.counters.Holes.List()) == 600 })
}
