package connect

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"testing"
	"time"

	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// failingState keeps values unless it fails.
type failingState struct {
	fails error
	kept  map[string]string
	ttl   time.Duration
}

func (s *failingState) Keep(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if s.fails == nil {
		if _, twice := s.kept[key]; twice {
			return errors.New("a value is overwritten")
		}
		s.kept[key], s.ttl = string(value), ttl
	}
	return s.fails
}

func (s *failingState) Get(context.Context, string) ([]byte, bool, error) { return nil, false, s.fails }

func (s *failingState) Take(context.Context, string) ([]byte, bool, error) {
	return nil, false, s.fails
}

// fixedSource is a feed that is asked only for its positions.
type fixedSource struct {
	feedSource
	positions map[domain.ChatID]domain.Seq
}

func (fixedSource) LogID() string                                     { return "log" }
func (s fixedSource) Positions() iter.Seq2[domain.ChatID, domain.Seq] { return maps.All(s.positions) }

func manyPositions() *eventPosition {
	source := fixedSource{positions: make(map[domain.ChatID]domain.Seq)}
	for i := range 200 {
		source.positions[domain.ChatID(fmt.Sprint("chat-", i))] = 1
	}
	return &eventPosition{source: source, state: &failingState{kept: make(map[string]string)}, reader: "user ada", all: true}
}

// TestEventPosition_Cursor checks the life of a cursor: it is replaced at half of it, also by a heartbeat, and after 1 KiB of changes.
func TestEventPosition_Cursor(t *testing.T) {
	p := manyPositions()
	state, _ := p.state.(*failingState)
	first, err := p.first(t.Context())
	if err != nil || !strings.HasPrefix(first, "log,*") || state.ttl != 24*time.Hour {
		t.Fatal(first, err, state.ttl)
	}
	heartbeat := feed.Message{Kind: feed.KindHeartbeat}
	if id, err := p.after(t.Context(), heartbeat); id != "" || err != nil {
		t.Errorf("a heartbeat has the id %q, %v", id, err)
	}
	p.made = p.made.Add(-12 * time.Hour)
	id, err := p.after(t.Context(), heartbeat)
	if err != nil || !strings.HasPrefix(id, "log,*") || strings.HasPrefix(id, first) || len(state.kept) != 2 {
		t.Errorf("after half of the life the id is %q, %v", id, err)
	}
	for i := range 200 {
		change := feed.Message{Kind: feed.KindCaughtUp, Chat: domain.ChatID(fmt.Sprint("chat-", i)), To: 2}
		if id, err = p.after(t.Context(), change); err != nil || len(id) > maxEventID {
			t.Fatalf("%d bytes, %v", len(id), err)
		}
	}
	if n := len(state.kept); n < 3 || n > 10 {
		t.Errorf("%d cursors were kept", n)
	}
}

// TestEventPosition_WithoutRedis has no cursor kept: a feed does not begin then, and one that has begun goes on with longer ids, up to a bound.
func TestEventPosition_WithoutRedis(t *testing.T) {
	p := manyPositions()
	state, _ := p.state.(*failingState)
	state.fails = ports.ErrUnavailable
	if _, err := p.first(t.Context()); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("a feed begins: %v", err)
	}
	state.fails = nil
	if _, err := p.first(t.Context()); err != nil {
		t.Fatal(err)
	}
	state.fails = ports.ErrUnavailable
	longest := 0
	for i := range 2000 {
		id, err := p.after(t.Context(), feed.Message{Kind: feed.KindCaughtUp, Chat: domain.ChatID(fmt.Sprint("another-chat-", i)), To: 2})
		if err != nil {
			if !errors.Is(err, ports.ErrUnavailable) {
				t.Error(err)
			}
			break
		}
		longest = max(longest, len(id))
	}
	if longest < maxEventID || longest > maxTornID {
		t.Errorf("ids grow to %d bytes", longest)
	}
	state.fails, p.tried = nil, time.Time{}
	if id, err := p.after(t.Context(), feed.Message{Kind: feed.KindCaughtUp, Chat: "chat-1", To: 3}); err != nil || len(id) > maxEventID {
		t.Errorf("afterwards an id has %d bytes, %v", len(id), err)
	}
}

// FuzzParseEventID parses damaged ids: an id is invalid, or is read as it was written.
func FuzzParseEventID(f *testing.F) {
	for _, id := range []string{"", "log", "log,a:1", "log,*C,a:-", "log,%zz:1", ",", "log,a%3Ab:18446744073709551615"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := parseEventID(id)
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%q: %v", id, err)
			}
			return
		}
		text, _ := appendPositions(logPart(p.log), maps.All(p.seqs), 1<<30)
		again, err := parseEventID(string(text))
		if err != nil || !maps.Equal(again.seqs, p.seqs) || again.log != p.log {
			t.Errorf("%q is %v, written as %q it is %v, %v", id, p.seqs, text, again.seqs, err)
		}
	})
}
