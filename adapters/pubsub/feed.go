package pubsub

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// FeedSubscriber reads an event log that has no stream of its own, as one consumer group of one process: at least once, in the order
// of append, one message at a time.
type FeedSubscriber struct {
	feed  ports.Feed
	codec *wireformat.Codec
	from  uint64
	moved func()

	finished atomic.Uint64 // the position before which everything is finished

	mu     sync.Mutex
	stops  []context.CancelFunc
	closed bool
	active sync.WaitGroup
}

var _ message.Subscriber = (*FeedSubscriber)(nil)

// NewFeedSubscriber reads from the beginning, or what is appended from now on. moved, unless nil, is called when something is finished.
func NewFeedSubscriber(feed ports.Feed, codec *wireformat.Codec, fromBeginning bool, moved func()) *FeedSubscriber {
	if moved == nil {
		moved = func() {}
	}
	s := &FeedSubscriber{feed: feed, codec: codec, moved: moved}
	if !fromBeginning {
		s.from = feed.End()
	}
	s.finished.Store(s.from)
	return s
}

// Idle reports whether all that was appended is finished.
func (s *FeedSubscriber) Idle() bool { return s.finished.Load() >= s.feed.End() }

// Subscribe reads until ctx ends. The topic means nothing: there is one feed.
func (s *FeedSubscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	ctx, stop := context.WithCancel(ctx)
	s.stops = append(s.stops, stop)
	out := make(chan *message.Message)
	s.active.Add(1)
	go func() {
		defer s.active.Done()
		defer close(out)
		s.read(ctx, out)
	}()
	return out, nil
}

func (s *FeedSubscriber) read(ctx context.Context, out chan<- *message.Message) {
	const batch = 256
	for position := s.from; ; {
		records, next, err := s.feed.Next(ctx, position, batch)
		if err != nil {
			return
		}
		for _, record := range records {
			if !s.deliver(ctx, record, out) {
				return
			}
			s.finished.Add(1)
			s.moved()
		}
		position = next
	}
}

// deliver hands a record out until it is acked. A handler that runs when the subscription ends keeps its context.
func (s *FeedSubscriber) deliver(ctx context.Context, r ports.Record, out chan<- *message.Message) bool {
	const pause = 50 * time.Millisecond
	for {
		msg, err := s.message(r)
		if err != nil {
			return true // what was recorded was encoded before
		}
		msg.SetContext(context.WithoutCancel(ctx))
		select {
		case out <- msg:
		case <-ctx.Done():
			return false
		}
		select {
		case <-msg.Acked():
			return true
		case <-msg.Nacked():
		case <-ctx.Done():
			return false
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

func (s *FeedSubscriber) message(r ports.Record) (*message.Message, error) {
	encoded, err := s.codec.Encode(r.ID, r.Event, r.Meta)
	if err != nil {
		return nil, err
	}
	msg := message.NewMessage(string(r.ID), encoded.Splice(r.Seq, r.Ordinal))
	msg.Metadata = wireformat.Metadata(r.ID, r.Event, r.Meta)
	msg.Metadata.Set(metaSeq, strconv.FormatUint(uint64(r.Seq), 10))
	return msg, nil
}

// Close ends every subscription.
func (s *FeedSubscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	s.active.Wait()
	return nil
}
