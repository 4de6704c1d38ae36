package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.Tail = (*Tail)(nil)

// Channels are the channels of live events within the process.
type Channels interface {
	// Hear has fn called with the type and the JSON of each live event that is published. fn must be quick, and must not publish.
	Hear(fn func(typ string, payload []byte))
}

// Tail reports the events of a [Log], which it watches as long as the log lives. Watchers are called before the append returns.
type Tail struct {
	codec      *wireformat.Codec
	clock      ports.Clock
	partitions int
	malformed  atomic.Uint64

	// mu guards the fields below. It is held while watchers are called, so that stop returns after the last call.
	mu          sync.Mutex
	events      map[int]set[ports.TailWatcher]
	ephemeral   set[func(ports.EphemeralNotice)]
	memberships set[func(domain.UserID)]
	closed      bool
}

// set holds watchers, each under a key of its own.
type set[W any] map[*byte]W

// NewTail returns a tail of a log with the given number of partitions, from 1. It hears of ephemeral events from live, and of memberships from chats, the
// view of the users' chats, if that is a [*UserView]. Both may be nil.
func NewTail(log *Log, partitions int, clock ports.Clock, live Channels, chats ports.UserView) *Tail {
	t := &Tail{codec: log.codec, clock: clock, partitions: max(partitions, 1), events: make(map[int]set[ports.TailWatcher])}
	log.observe(t.appended)
	if live != nil {
		live.Hear(t.published)
	}
	if view, ours := chats.(*UserView); ours {
		view.Observe(t.moved)
	}
	return t
}

// Close ends the tail: watchers are not called any more.
func (t *Tail) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.events, t.ephemeral, t.memberships = true, nil, nil, nil
}

// Malformed returns how many ephemeral events were dropped because they are no JSON object.
func (t *Tail) Malformed() uint64 { return t.malformed.Load() }

// Partitions implements [ports.Tail].
func (t *Tail) Partitions() int { return t.partitions }

// PartitionOf implements [ports.Tail].
func (t *Tail) PartitionOf(chat domain.ChatID) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(chat))
	return int(h.Sum32() % uint32(t.partitions)) //nolint:gosec // from 1
}

// Watch implements [ports.Tail].
func (t *Tail) Watch(ctx context.Context, partition int, w ports.TailWatcher) (func(), error) {
	return watch(ctx, t, func() *set[ports.TailWatcher] {
		watchers := t.events[partition]
		if watchers == nil {
			watchers = make(set[ports.TailWatcher])
			t.events[partition] = watchers
		}
		return &watchers
	}, w)
}

// WatchEphemeral implements [ports.Tail].
func (t *Tail) WatchEphemeral(ctx context.Context, fn func(ports.EphemeralNotice)) (func(), error) {
	return watch(ctx, t, func() *set[func(ports.EphemeralNotice)] { return &t.ephemeral }, fn)
}

// WatchMemberships implements [ports.Tail].
func (t *Tail) WatchMemberships(ctx context.Context, fn func(domain.UserID)) (func(), error) {
	return watch(ctx, t, func() *set[func(domain.UserID)] { return &t.memberships }, fn)
}

// watch adds a watcher to a set of the tail, which in names with mu held.
func watch[W any](ctx context.Context, t *Tail, in func() *set[W], w W) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ports.ErrClosed
	}
	watchers := in()
	if *watchers == nil {
		*watchers = make(set[W])
	}
	all, key := *watchers, new(byte)
	all[key] = w
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(all, key)
	}, nil
}

// Decode implements [ports.Tail].
func (t *Tail) Decode(n ports.Notice) (ports.Record, error) {
	record, err := t.codec.Decode(n.JSON)
	if errors.Is(err, wireformat.ErrUnknownType) || errors.Is(err, wireformat.ErrNewerVersion) {
		return t.codec.DecodeUnknown(n.JSON)
	}
	return record, err
}

// DecodeEphemeral implements [ports.Tail].
func (t *Tail) DecodeEphemeral(n ports.EphemeralNotice) (domain.Ephemeral, ports.Meta, error) {
	in, err := t.codec.DecodeLenient(n.Type, n.JSON, t.clock.Now())
	if err != nil {
		return nil, ports.Meta{}, err
	}
	e, ok := in.Event.(domain.Ephemeral)
	if !ok {
		return nil, ports.Meta{}, fmt.Errorf("%s is not an ephemeral event", wireformat.Type(in.Event))
	}
	return e, in.Meta, nil
}

// appended calls the watchers of the partitions of events that were appended. The log calls it in the order of the appends.
func (t *Tail) appended(notices []ports.Notice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.events) == 0 {
		return
	}
	of := make(map[int][]ports.Notice, 1)
	for _, n := range notices {
		p := t.PartitionOf(n.Chat)
		of[p] = append(of[p], n)
	}
	for p, some := range of {
		for _, w := range t.events[p] {
			w.Appended(p, append([]ports.Notice(nil), some...))
		}
	}
}

// published calls the watchers of ephemeral events.
func (t *Tail) published(typ string, payload []byte) {
	if typ != wireformat.TypeTypingStart && typ != wireformat.TypeTypingStop && typ != wireformat.TypeUserStatus {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ephemeral) == 0 {
		return
	}
	var ids struct {
		Chat domain.ChatID `json:"chatId"`
		User domain.UserID `json:"userId"`
	}
	if json.Unmarshal(payload, &ids) != nil {
		t.malformed.Add(1)
		return
	}
	if typ == wireformat.TypeUserStatus {
		ids.Chat = ""
	}
	for _, fn := range t.ephemeral {
		fn(ports.EphemeralNotice{Type: typ, Chat: ids.Chat, User: ids.User, JSON: payload})
	}
}

// moved calls the watchers of memberships.
func (t *Tail) moved(users []domain.UserID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, user := range users {
		for _, fn := range t.memberships {
			fn(user)
		}
	}
}
