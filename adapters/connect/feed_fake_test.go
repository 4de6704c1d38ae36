package connect_test

import (
	"context"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"

	"chatcore/adapters/connect"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// scriptedFeed is a feed whose messages a test gives.
type scriptedFeed struct {
	request  feed.Request
	log      string
	messages chan feed.Message
	ended    chan error // has the error that ends the feed
	closed   chan struct{}
	once     sync.Once

	mu sync.Mutex
	// mu guards: positions.
	positions map[domain.ChatID]domain.Seq
}

// scriptedFeeds are the feeds that a handler has opened, in order.
type scriptedFeeds struct {
	opened    chan *scriptedFeed
	positions map[domain.ChatID]domain.Seq // of each feed at its beginning, beside those of its request
}

func newScriptedFeeds() *scriptedFeeds {
	return &scriptedFeeds{opened: make(chan *scriptedFeed, 4096)}
}

// config returns a configuration whose handler opens the feeds.
func (s *scriptedFeeds) config() connect.Config {
	return connect.Config{}.WithFeeds(func(_ context.Context, r feed.Request) (connect.FeedSource, error) {
		f := &scriptedFeed{
			request: r, log: "log", messages: make(chan feed.Message, 4096), ended: make(chan error, 1), closed: make(chan struct{}),
			positions: maps.Clone(s.positions),
		}
		if f.positions == nil {
			f.positions = make(map[domain.ChatID]domain.Seq)
		}
		for _, p := range r.Chats {
			f.positions[p.Chat] = p.Seq
		}
		s.opened <- f
		return f, nil
	})
}

func (f *scriptedFeed) Next(ctx context.Context) (feed.Message, error) {
	select {
	case m := <-f.messages:
		return f.taken(m), nil
	case err := <-f.ended:
		return feed.Message{}, err
	case <-ctx.Done():
		return feed.Message{}, ctx.Err()
	}
}

func (f *scriptedFeed) TryNext() (feed.Message, bool) {
	select {
	case m := <-f.messages:
		return f.taken(m), true
	default:
		return feed.Message{}, false
	}
}

// taken notes the position of a message.
func (f *scriptedFeed) taken(m feed.Message) feed.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch m.Kind {
	case feed.KindEvent:
		f.positions[m.Chat] = m.Event.Record.Seq
	case feed.KindChatLeft:
		delete(f.positions, m.Chat)
	case feed.KindCaughtUp, feed.KindSkipped, feed.KindChatJoined, feed.KindResync:
		if m.Chat != "" {
			f.positions[m.Chat] = m.To
		}
	case feed.KindEphemeral, feed.KindHeartbeat:
	}
	return m
}

func (f *scriptedFeed) LogID() string { return f.log }

func (f *scriptedFeed) Positions() iter.Seq2[domain.ChatID, domain.Seq] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.All(maps.Clone(f.positions))
}

func (f *scriptedFeed) Close() { f.once.Do(func() { close(f.closed) }) }

// eventOf returns an event of a chat, whose content has so many bytes.
func eventOf(chat string, seq domain.Seq, bytes int) feed.Message {
	return feed.Message{Kind: feed.KindEvent, Chat: domain.ChatID(chat), Event: &feed.Event{Chat: domain.ChatID(chat), Record: ports.Record{
		ID: "event", Seq: seq, Event: domain.MessageNew{Chat: domain.ChatID(chat), Message: "m", Sender: "ada", Content: domain.Content(strings.Repeat("x", bytes))},
	}}}
}

// take returns the next feed that was opened.
func (s *scriptedFeeds) take(t testing.TB) *scriptedFeed {
	t.Helper()
	select {
	case f := <-s.opened:
		return f
	case <-t.Context().Done():
		t.Fatal("no feed was opened")
		return nil
	}
}
