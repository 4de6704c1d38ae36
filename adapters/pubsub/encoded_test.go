package pubsub_test

import (
	"context"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// place is the place of an event in a log.
type place struct {
	chat domain.ChatID
	seq  domain.Seq
}

// recorder is a handler of encoded events, which keeps them.
type recorder struct {
	mu     sync.Mutex
	events map[place]ports.Delivery
	most   int // chats of one call
	longs  int // calls with more events of a chat than allowed
	faults []string
}

func (r *recorder) handler(_ context.Context, all []*ports.ChatBatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = max(r.most, len(all))
	for _, b := range all {
		if len(b.Deliveries) > 3 {
			r.longs++
		}
		for _, d := range b.Deliveries {
			if d.Event != nil || b.Partition < 0 || d.Appended.IsZero() {
				r.faults = append(r.faults, string(d.ID.Event))
			}
			r.events[place{d.ID.Chat, d.ID.Seq}] = d
		}
		b.Done = len(b.Deliveries)
	}
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// TestEncoded_DeliversEveryEventAsTheLogHasIt includes events of a version that the member cannot decode, and entries of other programs. Half of the events are
// read back from the log.
func TestEncoded_DeliversEveryEventAsTheLogHasIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 2)
	newer, err := eventlog.Open(t.Context(), r.client, newerCodec(), eventlog.Config{Keys: r.keys})
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		r.send(6, chats(10)...)
		r.log, newer = newer, r.log
		r.send(6, chats(10)...)
		r.log, newer = newer, r.log
	}
	send()
	for _, p := range r.partitions[:2] {
		r.client.XTrimMaxLen(t.Context(), p.Stream, 3)
	}
	got := &recorder{events: make(map[place]ports.Delivery)}
	c := beginning(paced(r.config("g"), got.handler))
	c.Encoded, c.Concurrency, c.BatchChats, c.BatchEvents, c.Gather = true, 4, 4, 3, time.Millisecond
	r.start(c, nothing)
	foreign(t, r.client, r.topic())
	send()
	until(t, "all events are there", func() bool { return got.count() == 240 })
	r.idle("g")
	until(t, "the entries of other programs are finished", func() bool { return r.counters.Ignored.Load() == 2 })
	got.mu.Lock()
	defer got.mu.Unlock()
	if got.most > 4 || got.most < 2 || got.longs > 0 || len(got.faults) > 0 {
		t.Errorf("a call has up to %d chats; %d have too many events; wrong deliveries: %v", got.most, got.longs, got.faults)
	}
	for _, chat := range chats(10) {
		pages, _, err := r.log.ReadRaw(t.Context(), r.keys.Partition(chat), "", []ports.EventRange{{Chat: chat, From: 1, Limit: 100}})
		if err != nil {
			t.Fatal(err)
		}
		for i, json := range pages[0].Events {
			seq := domain.Seq(i + 1)
			d := got.events[place{chat, seq}]
			want, err := wireformat.PeekPlaced(json)
			if err != nil || string(d.JSON) != string(json) || d.ID != (ports.DeliveryID{Log: r.log.ID(), Chat: chat, Seq: seq, Event: want.ID}) || d.Ordinal != want.Ordinal {
				t.Fatalf("seq %d of %s is %+v (%s), want %s; %v", seq, chat, d, d.JSON, json, err)
			}
		}
	}
}

// TestEncoded_UnreadableEventsWait checks that an entry that is no event of the log blocks its chat and becomes no dead letter.
func TestEncoded_UnreadableEventsWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	got := &recorder{events: make(map[place]ports.Delivery)}
	c := beginning(paced(r.config("g"), got.handler))
	c.Encoded = true
	r.start(c, nothing)
	r.reading("g")
	entry := goredis.XAddArgs{Stream: r.topic(), Values: []any{"_watermill_message_uuid", "u", "metadata", "", "payload", `{"eventId":"e"}`, "chat", "c", "seq", "1"}}
	if err := r.client.XAdd(t.Context(), &entry).Err(); err != nil {
		t.Fatal(err)
	}
	r.send(1, "good")
	until(t, "the other chat is delivered", func() bool { return got.count() == 1 })
	until(t, "the handler's failures are counted as transient", func() bool { return r.counters.Transient.Load() >= 4 })
	if l := r.letters("g"); len(l) > 0 {
		t.Errorf("there are dead letters: %+v", l)
	}
}

// foreign adds two entries of other programs to a stream: one that can be read and one that cannot.
func foreign(t *testing.T, client *goredis.Client, stream string) {
	t.Helper()
	for _, values := range [][]any{{"payload", `{"chatId":"c","content":"hi"}`, "type", "message:new"}, {"no", "payload"}} {
		err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: stream, Values: values}).Err()
		if err != nil {
			t.Fatal(err)
		}
	}
}
