package logcopy_test

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
)

type contexter interface{ Context() context.Context }

func eraser(json []byte) ([]byte, error) { return erased(json), nil }

// TestCopy_EqualsTheLog reads a log that was put into a vault in random ways, at its end and at moments before.
func TestCopy_EqualsTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 2).Draw(t, "partitions")
		w := newWorld(t, partitions, rapid.IntRange(1, 3).Draw(t, "chats"))
		early := rapid.IntRange(0, 5).Draw(t, "steps before the vault is complete")
		for range early {
			w.step(t)
		}
		for p := range partitions {
			w.tail(p, true, true)
		}
		from := w.now
		var cuts []uint64
		for range rapid.IntRange(0, 15).Draw(t, "steps") {
			w.step(t)
			cuts = append(cuts, w.now)
		}
		w.flushAll(w.archivers[0])
		w.compare(t, 0)
		for _, at := range []uint64{from, rapid.Uint64Range(from, w.now).Draw(t, "moment"), w.now} {
			w.compare(t, at)
		}
		if len(cuts) > 0 {
			w.compare(t, rapid.SampledFrom(cuts).Draw(t, "cut"))
		}
	})
}

// compare compares the copy at a moment with the log.
func (w *world) compare(t fataler, at uint64) {
	t.Helper()
	ctx := w.t.(contexter).Context()
	config := logcopy.Config{Erase: eraser}
	if at > 0 {
		config.At = moment(at)
	}
	l, err := logcopy.Open(ctx, w.vault, config)
	if err != nil {
		t.Fatal(err)
	}
	for p := range w.parts {
		part, err := l.Partition(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		var chats []domain.ChatID
		for _, c := range w.chats {
			if c.partition != p {
				continue
			}
			want := w.expected(c, at)
			if len(want) > 0 {
				chats = append(chats, c.id)
			}
			var got []object.Event
			var commands []object.Command
			for part, err := range part.Chat(ctx, c.id) {
				if err != nil {
					t.Fatalf("at %d of %d: %v", at, w.now, err)
				}
				if part.First != domain.Seq(len(got)+1) || len(part.Unlisted) > 0 {
					t.Fatalf("a part from seq %d after %d events, unlisted %v", part.First, len(got), part.Unlisted)
				}
				got, commands = append(got, part.Events...), append(commands, part.Commands...)
			}
			if !sameEvents(got, want) {
				t.Fatalf("at %d of %d, chat %s: %d events, want %d", at, w.now, c.id, len(got), len(want))
			}
			w.compareCommands(t, c, commands, len(got))
		}
		if slices.Sort(chats); !slices.Equal(part.Chats(), chats) {
			t.Fatalf("chats %q, want %q", part.Chats(), chats)
		}
		if at == 0 {
			w.compareGroups(t, p, part)
		}
	}
}

// compareCommands checks that the commands up to a head are known.
func (w *world) compareCommands(t fataler, c *worldChat, got []object.Command, head int) {
	t.Helper()
	if want := commandsIn(c.commands, 1, domain.Seq(head)); !slices.Equal(got, want) {
		t.Fatalf("chat %s has the commands %v up to seq %d, want %v", c.id, got, head, want)
	}
}

func (w *world) compareGroups(t fataler, p int, part *logcopy.Partition) {
	t.Helper()
	if groups := part.Groups(); len(groups) != 1 || groups[0].Group != "g" {
		t.Fatalf("groups %v", groups)
	}
	got := make(map[domain.ChatID]domain.Seq)
	for _, c := range part.Groups()[0].Checkpoints {
		got[c.Chat] = c.Seq
	}
	for chat, seq := range w.atTail[p] {
		if want := min(seq, part.Head(chat)); got[chat] != want {
			t.Fatalf("the checkpoint of %s is %d, want %d", chat, got[chat], want)
		}
	}
}

// TestCopy_BeforeSealing reads a moment in the middle of a segment that was sealed later.
func TestCopy_BeforeSealing(t *testing.T) {
	w := newWorld(t, 1, 1)
	c := w.chats[0]
	w.append(c, object.SegmentEvents+500)
	w.tail(0, true, true)
	first := w.now
	w.append(c, 400)
	w.flushAll(w.archivers[0])
	between := w.now
	w.append(c, object.SegmentEvents)
	w.flushAll(w.archivers[0])
	w.seal(c)
	for _, at := range []uint64{first, between, 0} {
		w.compare(t, at)
	}
}

// TestCopy_NewerHistory has different events with one seq, in journals and tails, of histories of which one began after the other.
func TestCopy_NewerHistory(t *testing.T) {
	for name, places := range map[string][2]string{
		"a journal after a journal": {"journal", "journal"}, "a tail after a journal": {"journal", "tail"}, "a journal after a tail": {"tail", "journal"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1)
			c := w.chats[0]
			write := func(place string) {
				if place == "tail" {
					w.tail(0, true, true)
					return
				}
				w.flush(w.archivers[0], w.history(), map[*worldChat]int{c: 0})
			}
			w.append(c, 3)
			if places != [2]string{"journal", "tail"} {
				w.tail(0, true, true)
				c.events = c.events[:2]
				w.append(c, 1)
			}
			write(places[0])
			fork := &object.ForkObject{Name: object.Fork(worldLog, 0, 0), At: w.now, History: "h1", Superseded: []string{"h0"}}
			if places == [2]string{"journal", "journal"} { // a tail has what a journal of the older history replaces
				fork.Superseded = []string{"h0", "h1"}
				fork.History = "h2"
				older := &object.ForkObject{Name: object.Fork(worldLog, 0, 1), At: w.now, History: "h1", Superseded: []string{"h0"}}
				w.put(older.Name, func() ([]byte, error) { return w.codec.EncodeFork(older) })
			}
			w.put(fork.Name, func() ([]byte, error) { return w.codec.EncodeFork(fork) })
			w.histories = append(w.histories, fork.History)
			c.events = c.events[:2]
			w.append(c, 2)
			write(places[1])
			c.commands = nil
			l, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := l.Partition(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			for part, err := range p.Chat(t.Context(), c.id) {
				if err != nil || !sameEvents(part.Events, w.expected(c, 0)) {
					t.Errorf("%d events, want %d: %v", len(part.Events), len(c.events), err)
				}
			}
		})
	}
}
