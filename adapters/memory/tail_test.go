package memory

import (
	"context"
	"fmt"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

// channels are live channels that keep nothing.
type channels struct {
	codec *wireformat.Codec
	hear  []func(string, []byte)
}

func (c *channels) Hear(fn func(string, []byte)) { c.hear = append(c.hear, fn) }

func (c *channels) Publish(_ context.Context, e domain.Ephemeral, m ports.Meta) error {
	payload, err := c.codec.EncodeLive("id", e, m)
	if err == nil {
		c.send(wireformat.Type(e), payload)
	}
	return err
}

func (c *channels) send(typ string, payload []byte) {
	for _, fn := range c.hear {
		fn(typ, payload)
	}
}

func TestTail(t *testing.T) {
	for _, partitions := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			codec, clock := wireformat.New(), newClock()
			live, chats, log := &channels{codec: codec}, NewUserView(), New(codec, clock, nil)
			porttest.Tail(t, func(*testing.T) porttest.TailRig {
				tail := NewTail(log, partitions, clock, live, chats)
				return porttest.TailRig{Tail: tail, Log: log, Live: live, Chats: chats, LogName: log.ID(), Close: tail.Close}
			})
		})
	}
}

// TestTail_Ephemeral hears payloads of other programs, and counts those that are no JSON objects. Durable events of the live channels do not count.
func TestTail_Ephemeral(t *testing.T) {
	live := &channels{}
	tail := NewTail(New(wireformat.New(), newClock(), nil), 1, newClock(), live, nil)
	heard := 0
	stop, err := tail.WatchEphemeral(t.Context(), func(ports.EphemeralNotice) { heard++ })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, payload := range []string{`{"chatId":"c","userId":"u"}`, `[]`, `no`} {
		live.send(wireformat.TypeTypingStart, []byte(payload))
		live.send(wireformat.TypeMessageNew, []byte(payload))
	}
	if heard != 1 || tail.Malformed() != 2 {
		t.Errorf("heard %d, %d malformed, want 1 and 2", heard, tail.Malformed())
	}
}

// TestUserView_Observe names users only if the set of their chats changes.
func TestUserView_Observe(t *testing.T) {
	view := NewUserView()
	var moved []domain.UserID
	view.Observe(func(users []domain.UserID) { moved = append(moved, users...) })
	for i, step := range []struct {
		entry ports.UserEntry
		want  int
	}{
		{ports.UserEntry{User: "u", Version: 1, Gone: true}, 0},
		{ports.UserEntry{User: "u", Version: 2, Number: 2}, 1},
		{ports.UserEntry{User: "u", Version: 3, Number: 5}, 1},
		{ports.UserEntry{User: "u", Version: 3, Gone: true}, 1}, // not later
		{ports.UserEntry{User: "u", Version: 4, Gone: true}, 2},
		{ports.UserEntry{User: "u", Version: 5, Number: 1}, 3},
	} {
		if err := view.Put(t.Context(), "log", ports.ChatEntries{Chat: "c", Entries: []ports.UserEntry{step.entry}}); err != nil {
			t.Fatal(err)
		}
		if len(moved) != step.want {
			t.Errorf("after put %d the view has named %q, want %d users", i, moved, step.want)
		}
	}
}
