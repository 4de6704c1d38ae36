package memgroup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// MemoryLog is an event log in one process, which also delivers its events.
type MemoryLog interface {
	ports.Feed
	ports.Backlog
	ID() string
}

// Memory holds the consumer groups of a log in memory. Groups behave as they do on Redis; they end with the process.
type Memory struct {
	log   MemoryLog
	codec *wireformat.Codec
	clock ports.Clock
	moved func()

	mu     sync.Mutex
	groups map[string]*memoryGroup
}

// memoryPartition is the stream of the only partition.
const memoryPartition = "memory"

// memoryGroup is the state that Redis would have of a group.
type memoryGroup struct {
	owner    string
	epoch    uint64
	commit   uint64
	position streamID
	revision uint64
	walk     string
	chats    map[string]domain.Seq
	left     map[string]string
	failing  map[string]failure
	letters  []DeadLetter
	numbered int // dead letters so far
	again    map[string]string
	running  bool
	bound    int // dead letters
}

// NewMemory returns the groups of a log. moved, unless nil, is called after each commit.
func NewMemory(log MemoryLog, codec *wireformat.Codec, clock ports.Clock, moved func()) *Memory {
	if moved == nil {
		moved = func() {}
	}
	return &Memory{log: log, codec: codec, clock: clock, moved: moved, groups: make(map[string]*memoryGroup)}
}

// Subscriber returns a subscriber of a consumer group of the log. It ignores settings about Redis.
func (m *Memory) Subscriber(c SubscriberConfig) (*Subscriber, error) {
	c.Topic, c.Partitions = memoryPartition, []Partition{{Stream: memoryPartition}}
	c.LogID, c.Backlog, c.Codec, c.Pace = m.log.ID(), m.log, m.codec, 0
	return newSubscriber(c, &memoryStore{Memory: m, name: c.Group})
}

// Topic returns the topic of the subscribers.
func (m *Memory) Topic() string { return memoryPartition }

// Idle reports whether every running group has finished all events, apart from chats that wait for a decision.
func (m *Memory) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	end := m.log.End()
	for _, g := range m.groups {
		if !g.running {
			continue
		}
		if g.position.n < end || g.walk != "" || len(g.again) > 0 {
			return false
		}
		for _, as := range g.left {
			if as == chatBehind {
				return false
			}
		}
	}
	return true
}

// memoryStore is the station of one group.
type memoryStore struct {
	*Memory
	name string
}

var _ store = (*memoryStore)(nil)

// group returns the station's group, nil if it was deleted. The mutex is held.
func (s *memoryStore) group() *memoryGroup { return s.groups[s.name] }

func (s *memoryStore) forgotten() error { return fmt.Errorf("%w: %q", ErrGroupDeleted, s.name) }

func (s *memoryStore) create(_ context.Context, _ Partition, fromBeginning bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.group(); g != nil {
		g.running = true
		return false, nil
	}
	g := &memoryGroup{
		running: true,
		chats:   make(map[string]domain.Seq), left: make(map[string]string), failing: make(map[string]failure), again: make(map[string]string),
	}
	s.groups[s.name] = g
	if fromBeginning {
		return false, nil
	}
	g.position = streamID{n: s.log.End()}
	return true, nil
}

func (s *memoryStore) seedCheckpoints(_ context.Context, _ Partition, heads []ports.ChatHead, last bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.group(); g != nil {
		for _, h := range heads {
			g.chats[string(h.Chat)] = h.Head
		}
	}
	return !last, nil
}

func (s *memoryStore) heartbeat(_ context.Context, _ Partition, instance string, ttl time.Duration, _ []string, _ time.Duration) (members, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group()
	if g == nil {
		return members{}, s.forgotten()
	}
	g.running = ttl > 0
	return members{living: []string{instance}}, nil
}

func (s *memoryStore) acquire(_ context.Context, _ []Partition, _ []bool, m memberInfo) ([]*lease, []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group()
	if g == nil {
		return []*lease{nil}, []error{s.forgotten()}
	}
	before := g.epoch > 0
	g.bound = m.deadLetters
	g.owner, g.commit, g.epoch = m.instance, 0, g.epoch+1
	return []*lease{{
		epoch: g.epoch, position: g.position, end: streamID{n: s.log.End()}, walk: g.walk != "", revision: strconv.FormatUint(g.revision, 10), hadOwner: before,
		lagging: maps.Clone(g.left), failing: maps.Clone(g.failing), redeliveries: maps.Clone(g.again), deadLetters: len(g.letters),
	}}, []error{nil}
}

func (s *memoryStore) commit(_ context.Context, _ []Partition, epochs []uint64, changes []*commit, _ time.Duration) []commitResult {
	defer s.moved()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group()
	switch {
	case g == nil:
		return []commitResult{{err: s.forgotten()}}
	case g.epoch != epochs[0]:
		return []commitResult{{err: ErrFenced}}
	}
	s.apply(g, changes[0])
	return []commitResult{{revision: strconv.FormatUint(g.revision, 10), deadLetters: len(g.letters)}}
}

func (s *memoryStore) apply(g *memoryGroup, c *commit) {
	g.commit = c.number
	if !c.position.isZero() {
		g.position = c.position
	}
	switch c.walk {
	case "":
	case "-":
		g.walk = ""
	default:
		g.walk = c.walk
	}
	each := func(list []any, do func(chat string, value any)) {
		for i := 0; i+1 < len(list); i += 2 {
			chat, _ := list[i].(string)
			do(chat, list[i+1])
		}
	}
	each(c.chats, func(chat string, value any) {
		seq, _ := value.(*uint64)
		g.chats[chat] = domain.Seq(*seq)
	})
	each(c.lagging, func(chat string, value any) {
		if as, _ := value.(string); as != "" {
			g.left[chat] = as
		} else {
			delete(g.left, chat)
		}
	})
	each(c.failing, func(chat string, value any) {
		if text, _ := value.(string); text != "" {
			g.failing[chat] = parseFailure(text)
		} else {
			delete(g.failing, chat)
		}
	})
	for _, id := range c.resolved {
		g.letters = slices.DeleteFunc(g.letters, func(d DeadLetter) bool { return d.ID == id })
		delete(g.again, fmt.Sprint(id))
	}
	for _, l := range c.letters {
		i := slices.IndexFunc(g.letters, func(d DeadLetter) bool { return d.ID == l.Of })
		switch {
		case i >= 0:
			delete(g.again, l.Of)
			l.Mark.at = s.clock.Now()
			l.Mark.apply(&g.letters[i])
		case l.Of == "" || l.InOrder:
			g.numbered++
			g.letters = append(g.letters, l.opened(s.name, strconv.Itoa(g.numbered), s.clock.Now()))
		}
	}
}

func (s *memoryStore) release(context.Context, []released) error { return nil }

func (s *memoryStore) last(context.Context, Partition) (streamID, error) {
	return streamID{n: s.log.End()}, nil
}

func (s *memoryStore) checkpoints(_ context.Context, _ Partition, chats []string) ([]domain.Seq, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seqs := make([]domain.Seq, len(chats))
	if g := s.group(); g != nil {
		for i, chat := range chats {
			seqs[i] = g.chats[chat]
		}
	}
	return seqs, nil
}

func (s *memoryStore) look(context.Context, Partition) (walk bool, left, again map[string]string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group()
	if g == nil {
		return false, nil, nil, s.forgotten()
	}
	return g.walk != "", maps.Clone(g.left), maps.Clone(g.again), nil
}

func (s *memoryStore) letters(_ context.Context, _ Partition, ids []string) ([]storedLetter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []storedLetter
	if g := s.group(); g != nil {
		for _, d := range g.letters {
			if slices.Contains(ids, d.ID) {
				found = append(found, storedLetter{d.closed(), d.ID})
			}
		}
	}
	return found, nil
}

func (s *memoryStore) trimmed(context.Context, Partition, streamID) (bool, streamID, error) {
	return false, streamID{}, nil
}

func (s *memoryStore) trim(context.Context, Partition, int) (int64, []string, error) {
	return 0, nil, nil
}

func (s *memoryStore) next(ctx context.Context, _ string, after streamID, _ bool) (*batch, error) {
	records, next, err := s.log.Next(ctx, after.n, readCount)
	if err != nil {
		return nil, err
	}
	b := &batch{after: after, entries: make([]entry, len(records)), full: len(records) == readCount}
	for i, r := range records {
		encoded, err := s.codec.Encode(r.ID, r.Event, r.Meta)
		if err != nil {
			return nil, err
		}
		b.entries[i] = entry{
			id: streamID{n: next - uint64(len(records)) + uint64(i) + 1}, uuid: string(r.ID), payload: encoded.Splice(r.Seq, r.Ordinal),
			metadata: packMetadata(wireformat.Metadata(r.ID, r.Event, r.Meta)), chat: string(r.Event.ChatID()), seq: r.Seq,
		}
	}
	return b, nil
}

func (s *memoryStore) drop(string) {}

func (s *memoryStore) close() error { return nil }
