package pubsub_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// busyLog appends to a chat while a page of it is read, and returns the page when the entry has been read from the stream.
type busyLog struct {
	ports.Backlog
	during func()
}

func (l *busyLog) ReadRaw(ctx context.Context, partition int, earlier string, stretches []ports.EventRange) ([]ports.EncodedPage, string, error) {
	pages, witness, err := l.Backlog.ReadRaw(ctx, partition, earlier, stretches)
	l.during()
	return pages, witness, err
}

// TestWhatIsAppendedWhileAChatCatchesUp checks that such an event is delivered although none follows it: the page read from the log lacks it, and the
// position has passed its entry.
func TestWhatIsAppendedWhileAChatCatchesUp(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		r.send(3, "c")
		if err := r.client.XTrimMaxLen(t.Context(), r.topic(), 0).Err(); err != nil {
			t.Fatal(err)
		}
		times := 0
		config := beginning(r.config("g"))
		config.Backlog = &busyLog{r.log, func() {
			if times++; times <= 3 {
				r.send(1, "c", "other")
				until(t, "the stream is read", func() bool { return e.done("other") == domain.Seq(times) })
			}
		}}
		r.start(config, e.around(nothing))
		e.complete(r)
		e.once(t)
		until(t, "the position is the end of the stream", func() bool { return r.partition("g").Lag == 0 && r.partition("g").Behind == 0 })
		if n := r.counters.PhantomEntries.Load(); n != 0 {
			t.Errorf("%d events are said to be in no log", n)
		}
	})
}

// TestEntriesOfEventsThatTheLogDoesNotHave checks that such entries do not block the position, and that later events of the chat are delivered.
func TestEntriesOfEventsThatTheLogDoesNotHave(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	r.start(beginning(r.config("g")), e.around(nothing))
	r.send(2, "c")
	ghost := &goredis.XAddArgs{Stream: r.topic(), Values: []any{wireformat.FieldUUID, "x", wireformat.FieldPayload, "{}", wireformat.FieldChat, "c", wireformat.FieldSeq, 9}}
	if err := r.client.XAdd(t.Context(), ghost).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "it is counted and passed", func() bool { return r.counters.PhantomEntries.Load() == 7 && r.partition("g").Lag == 0 })
	r.send(9, "c")
	e.complete(r)
	e.once(t)
}

// TestACrashAfterAllChatsWereLookedAt checks that events read from the log and not yet handled are not lost, although no stream has them. Neither are
// they lost in a crash of the next owner, which found their chats left behind.
func TestACrashAfterAllChatsWereLookedAt(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		r.send(2, chats(900)...) // several pages of chats
		if err := r.client.XTrimMaxLen(t.Context(), r.topic(), 0).Err(); err != nil {
			t.Fatal(err)
		}
		holds := make(chan struct{})
		defer close(holds)
		for range 3 {
			begun := make(chan struct{}, 64)
			i := r.start(beginning(r.config("g")), func(context.Context, ports.Delivery) error {
				begun <- struct{}{}
				<-holds
				return nil
			})
			receive(t, begun)
			until(t, "all chats are looked at", func() bool { return !r.partition("g").CatchesUp })
			renewed := r.partition("g").Until
			until(t, "what it knows is taken down", func() bool { return r.partition("g").Until.After(renewed) })
			i.crash()
		}
		r.start(r.config("g"), e.around(nothing))
		e.complete(r)
		until(t, "nobody is behind", func() bool { return r.partition("g").Behind == 0 })
	})
}

// countedLog counts the requests for chats.
type countedLog struct {
	ports.Backlog
	heads atomic.Int64
}

func (l *countedLog) ListHeads(ctx context.Context, partition int, cursor uint64) ([]ports.ChatHead, uint64, int, error) {
	l.heads.Add(1)
	return l.Backlog.ListHeads(ctx, partition, cursor)
}

// TestADeletedStreamHeals guards against the end that the stock subscriber makes at NOGROUP, and against an endless search for the stream's entries.
func TestADeletedStreamHeals(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	log := &countedLog{Backlog: r.log}
	config := beginning(r.config("g"))
	config.Backlog = log
	r.start(config, e.around(nothing))
	r.send(3, "c", "d")
	e.complete(r)
	for range 3 {
		r.idle("g")
		if err := r.client.Del(t.Context(), r.topic()).Err(); err != nil {
			t.Fatal(err)
		}
		before := log.heads.Load()
		until(t, "the loss is noticed", func() bool { return log.heads.Load() > before })
		<-time.After(2 * quick)
		if n := log.heads.Load() - before; n > 3 {
			t.Errorf("the chats were looked at %d times", n)
		}
		r.send(1, "d", "new")
		e.complete(r)
	}
	// Events that were not committed when the stream was deleted may be delivered twice: without a position this cannot be distinguished from a loss
	// by Redis.
	until(t, "the position is the end of the stream", func() bool { l := r.partition("g"); return l.Lag == 0 && l.Behind == 0 && !l.CatchesUp })
}

// TestWhatIsReadBackIsTheSameMessage checks that a message read from the log equals the one from the stream, at every attempt.
func TestWhatIsReadBackIsTheSameMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	config := beginning(r.config("g"))
	config.client = r.client
	r.send(1, "c")
	read := func(group string) []string {
		config.Group = group
		subscriber, messages := r.subscribe(config)
		var seen []string
		payload := ""
		for range config.Retry.Attempts {
			msg := receive(t, messages)
			payload = string(msg.Payload)
			seen = append(seen, fmt.Sprint(msg.UUID, msg.Metadata, string(msg.Payload)))
			msg.Nack()
		}
		until(t, "it is set aside", func() bool { return r.partition(group).Letters == 1 })
		letter := r.letters(group)[0]
		if err := subscriber.Close(); err != nil {
			t.Error(err)
		}
		return append(seen, fmt.Sprint(letter.EventID, letter.Metadata, payload+string(letter.Payload))) // a letter has no payload
	}
	streamed := read("streamed")
	if err := r.client.Del(t.Context(), r.topic()).Err(); err != nil {
		t.Fatal(err)
	}
	before := r.counters.Backfilled.Load()
	for i, got := range append(streamed, read("back")...) {
		if got != streamed[0] {
			t.Errorf("%d: %s, want %s", i, got, streamed[0])
		}
	}
	if r.counters.Backfilled.Load() == before {
		t.Error("nothing was read back")
	}
}
