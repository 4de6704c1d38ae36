package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// add adds an entry to the stream of other programs and returns its id.
func (r *rig) add(values ...any) string {
	r.t.Helper()
	id, err := r.client.XAdd(r.t.Context(), &goredis.XAddArgs{Stream: r.topic(), Values: values}).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// allLetters returns the dead letters of several groups.
func (r *rig) allLetters(names ...string) (letters []groups.DeadLetter) {
	for _, group := range names {
		letters = append(letters, r.letters(group)...)
	}
	return letters
}

// passedBy waits until groups have nothing left to do on the stream of other programs.
func (r *rig) passedBy(names ...string) {
	r.t.Helper()
	until(r.t, "the groups have passed the entries", func() bool {
		states, err := r.groups().List(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		for _, state := range states {
			for _, partition := range state.Partitions {
				if slices.Contains(names, state.Group) && partition.Stream == r.topic() && partition.Lag > 0 {
					return false
				}
			}
		}
		return true
	})
}

// TestForeignEntries_PlainFields checks that every group gets the entries of programs without Watermill, under an id that is the same each time.
func TestForeignEntries_PlainFields(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		payload := func(content string) string {
			return `{"type":"message:new","messageId":"m","chatId":"c","senderId":"ben","content":"` + content + `"}`
		}
		var want []string
		expect := func(content, id string) { want = append(want, content+" "+id) }
		id := r.add("type", "message:new", "payload", payload("one"))
		expect("one", "entry:"+id)
		id = r.add("payload", payload("two"), "trace", "x", "type", "message:new")
		expect("two", "entry:"+id)
		id = r.add("payload", payload("three")) // the type is in the payload
		expect("three", "entry:"+id)
		r.add("type", "message:new", wireformat.FieldUUID, "mine", "payload", payload("four"))
		expect("four", "mine")
		r.add(wireformat.FieldUUID, "theirs", "metadata", string(wireformat.EncodeMetadata(map[string]string{"type": "message:new"})), "payload", payload("five"))
		expect("five", "theirs")
		for _, group := range []string{"g", "h"} {
			arrived := make(chan string, 2*len(want))
			r.start(beginning(r.config(group)), func(_ context.Context, d ports.Delivery) error {
				e, _ := d.Event.(domain.MessageNew)
				arrived <- fmt.Sprintf("%s %s", e.Content, d.ID.Event)
				return nil
			})
			for _, text := range want {
				if got := receive(t, arrived); got != text {
					t.Errorf("%s gets %q, want %q", group, got, text)
				}
			}
		}
		r.passedBy("g", "h")
		if letters := r.allLetters("g", "h"); len(letters) > 0 {
			t.Errorf("dead letters %+v", letters)
		}
	})
}

// TestUnreadableEntries_AreOneLetter checks unreadable entries of every kind: each is one dead letter, however many groups read the stream, not
// counting ephemeral groups.
func TestUnreadableEntries_AreOneLetter(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		metadata := string(wireformat.EncodeMetadata(map[string]string{"type": "message:new"}))
		huge := strings.Repeat("x", 2<<20)
		for _, values := range [][]any{
			{"foo", "bar"},
			{"type", "message:new"},
			{"type", "poll:created", "payload", "{}"},
			{"type", "typing:start", "payload", `{"chatId":"c","userId":"u"}`},
			{"type", "message:new", "payload", "no json"},
			{"type", "message:new", "payload", huge},
			{"type", huge, "payload", "{}"},
			{wireformat.FieldUUID, huge, "payload", "{}"},
			{wireformat.FieldUUID, strings.Repeat("x", 200), "metadata", metadata, "payload", "{}"},
			{wireformat.FieldUUID, "1", "metadata", "\xc1garbage", "payload", "{}"},
			{wireformat.FieldUUID, "2", "metadata", "\xdf\xff\xff\xff\xff", "payload", "{}"},
			{wireformat.FieldUUID, "3", "metadata", metadata, "payload", "\xff"},
		} {
			r.add(values...)
		}
		const unreadable = 12
		good := r.add("type", "message:new", "payload", `{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`)
		passing := beginning(r.config("passing"))
		passing.Ephemeral = true
		first := r.start(passing, nothing)
		r.passedBy("passing")
		names := []string{"g", "h", "i"}
		for _, name := range names {
			arrived := make(chan domain.EventID, 4)
			r.start(beginning(r.config(name)), func(_ context.Context, d ports.Delivery) error {
				arrived <- d.ID.Event
				return nil
			})
			if id := receive(t, arrived); id != domain.EventID("entry:"+good) {
				t.Errorf("%s gets %s", name, id)
			}
		}
		first.stop()
		r.passedBy(names...)
		letters := r.allLetters(names...)
		entries := make(map[string]bool)
		for _, letter := range letters {
			entries[letter.Entry] = true
			if !strings.Contains(letter.Reason, group.ErrBroken.Error()) || len(letter.Reason) > 1000 || len(letter.Payload) > 64<<10 || len(letter.EventID) > 64<<10 {
				t.Errorf("%s: %d bytes of reason, %d of payload", letter.Entry, len(letter.Reason), len(letter.Payload))
			}
		}
		until(t, "they are counted", func() bool { return r.counters.DeadLetters.Load() == unreadable })
		if len(letters) != unreadable || len(entries) != unreadable || entries[""] || len(r.letters("passing")) > 0 {
			t.Errorf("%d letters of %d entries, want %d of as many", len(letters), len(entries), unreadable)
		}
		for _, letter := range letters {
			whole := len(letter.EventID) < 1000 && len(letter.Payload) < 1000 && len(letter.EventID)+len(letter.Payload)+len(letter.Metadata) > 0
			err := r.groups().Retry(t.Context(), letter.Group, letter.ID)
			if whole && err != nil || !whole && !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("retrying %q: %v", letter.Reason[:min(80, len(letter.Reason))], err)
			}
			if !whole {
				if err := r.groups().Drop(t.Context(), letter.Group, letter.ID); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestUnreadableEntries_AreRetriedForAllGroups retries an entry that a later version of the program can read.
func TestUnreadableEntries_AreRetriedForAllGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	old := `{"eventId":"e","type":"message:new","v":2,"timestamp":"2026-01-02T03:04:05Z","messageId":"m","chatId":"c","senderId":"ben","content":"x"}`
	r.add(wireformat.FieldUUID, "theirs", "type", "message:new", "payload", old)
	r.start(beginning(r.config("g")), nothing)
	until(t, "it is a dead letter", func() bool { return len(r.letters("g")) == 1 })
	h := r.start(beginning(r.config("h")), nothing)
	r.passedBy("g", "h")
	h.stop()
	letter := r.letters("g")[0]
	if err := r.groups().Retry(t.Context(), "g", letter.ID); err != nil {
		t.Fatal(err)
	}
	entries, err := r.client.XRange(t.Context(), r.topic(), "-", "+").Result()
	if err != nil || len(entries) != 2 || entries[1].Values[wireformat.FieldUUID] != "theirs" || entries[1].Values["payload"] != old {
		t.Fatalf("the stream has %v (%v)", entries, err)
	}
	until(t, "it is one letter again", func() bool {
		letters := r.letters("g")
		return len(letters) == 1 && letters[0].Entry == entries[1].ID
	})
	r.start(r.config("h"), nothing)
	r.passedBy("g", "h")
	if n := len(r.allLetters("g", "h")); n != 1 {
		t.Errorf("%d letters", n)
	}
}
