package group_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// storeClock is the clock of the store: the bubble's time and what the clock was set forward.
type storeClock struct{ offset atomic.Int64 }

func (c *storeClock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (*storeClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// world is a log in memory whose group "g" has several members, in the virtual time of a synctest bubble.
type world struct {
	t      *testing.T
	plan   plan
	clock  *storeClock
	log    *memory.Log
	codec  *wireformat.Codec
	groups *memgroup.Groups
	ledger *ledger

	mu      sync.Mutex
	random  *rand.Rand // mu guards
	calm    bool       // no faults any more
	members []*worldMember
	named   int
	sent    int
	heads   map[string]domain.Seq
	keys    map[domain.ChatID][]string // of the events of each chat
}

// worldMember is a member and its faults.
type worldMember struct {
	*group.Member
	w      *world
	name   string
	stop   context.CancelFunc
	frozen chan struct{} // world.mu guards; nil unless it is frozen
	down   time.Time     // until then no call of it is made; world.mu guards
}

func newWorld(t *testing.T, p plan, seed uint64) *world {
	w := &world{
		t: t, plan: p, clock: &storeClock{}, codec: wireformat.New(), random: rand.New(rand.NewPCG(seed, 0)), heads: make(map[string]domain.Seq), keys: make(map[domain.ChatID][]string), //nolint:gosec // a test
	}
	w.log = memory.New(w.codec, w.clock, nil)
	w.groups = memgroup.New(memgroup.Config{Log: w.log, Codec: w.codec, Clock: w.clock, Partitions: p.partitions})
	w.ledger = newLedger(w)
	return w
}

// chance reports true n times of 100.
func (w *world) chance(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.random.IntN(100) < n
}

// upTo returns a random time.
func (w *world) upTo(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.random.Int64N(int64(d)))
}

func (w *world) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// join starts a member.
func (w *world) join() *worldMember {
	w.t.Helper()
	w.mu.Lock()
	w.named++
	m := &worldMember{w: w, name: fmt.Sprint("m", w.named)}
	w.mu.Unlock()
	stores := memgroup.WithFaults(&watchedStores{w.groups, w.ledger}, m.fault)
	c := group.Config{
		Group: "g", Store: stores.Store("g"), Partitions: stores.Partitions(), LogID: w.log.ID(), Backlog: w.groups.Backlog(), Codec: w.codec,
		Order: w.plan.order, OnPoison: w.plan.poison, Start: groups.Start{Beginning: true}, Concurrency: 8, ChatConcurrency: 4, Lease: lease,
		Retry: delivery.RetryPolicy{Attempts: attempts, First: 100 * time.Millisecond, Max: 20 * time.Second}, Slow: 5 * time.Second, Drain: 5 * time.Second,
		Bound: w.plan.bound, DeadLetterBound: 200, Logger: slog.New(slog.DiscardHandler), Counters: &group.Counters{},
	}
	if w.plan.order == delivery.ByKey {
		c.Key = keyOf
	}
	var h group.Handler = group.Calls(m.handle)
	if w.plan.batch {
		c.Batch, h = m.handleBatch, nil
	}
	joined, err := group.Join(w.t.Context(), c, h)
	if err != nil {
		w.t.Errorf("member %s has not joined: %v", m.name, err)
		return nil
	}
	m.Member = joined
	ctx, cancel := context.WithCancel(w.t.Context())
	m.stop = cancel
	w.mu.Lock()
	w.members = append(w.members, m)
	w.mu.Unlock()
	go joined.Run(ctx)
	return m
}

// handle is the handler of a member.
func (m *worldMember) handle(ctx context.Context, d ports.Delivery) (err error) {
	end := m.w.ledger.begin(m.name, d, time.Now())
	err = errHandler // of a panic
	defer func() { end(err) }()
	err = m.w.outcome(ctx)
	return err
}

// handleBatch is the batch handler of a member.
func (m *worldMember) handleBatch(ctx context.Context, batches []*ports.ChatBatch) {
	called := time.Now()
	for _, b := range batches {
		for _, d := range b.Deliveries {
			if m.w.chance(10) && b.Done > 0 {
				b.Later = m.w.upTo(10 * time.Second)
				break
			}
			end := m.w.ledger.begin(m.name, d, called)
			b.Err = m.w.outcome(ctx)
			end(b.Err)
			if b.Err != nil {
				break
			}
			b.Done++
		}
	}
}

var errHandler = fmt.Errorf("the handler fails")

// errPostponed is the cause of a postponed event, which is no attempt.
var errPostponed = errors.New("postponed")

// outcome takes some time and returns the outcome of a handler.
func (w *world) outcome(ctx context.Context) error {
	if !w.chance(60) {
		return nil
	}
	most := 50 * time.Millisecond
	if w.chance(3) {
		most = 15 * time.Second // longer than a lease
	}
	timer := time.NewTimer(w.upTo(most))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case !w.plan.failures:
		return nil
	case w.chance(12):
		return errHandler
	case w.chance(3):
		return group.Permanent(errHandler)
	case w.chance(4):
		return fmt.Errorf("%w: %w", ports.ErrUnavailable, errHandler)
	case w.chance(4):
		return group.NotNow(w.upTo(2*time.Second), errPostponed)
	case w.chance(1) && !w.plan.batch:
		panic(errHandler)
	}
	return nil
}

// send appends n messages to a random chat.
func (w *world) send(n int) {
	w.t.Helper()
	chat := fmt.Sprint("c", w.intN(w.plan.chats))
	for range n {
		w.mu.Lock()
		w.sent++
		id := w.sent
		w.heads[chat]++
		key := fmt.Sprint("k", id%3)
		w.keys[domain.ChatID(chat)] = append(w.keys[domain.ChatID(chat)], key)
		w.mu.Unlock()
		e := domain.MessageNew{
			Chat: domain.ChatID(chat), Message: domain.MessageID(fmt.Sprint("m", id)), Sender: "ada", Content: domain.Content(key),
			At: w.clock.Now().UTC().Truncate(time.Millisecond),
		}
		a := ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", id)), Event: e, Moves: domain.Moves(e)}}}
		if _, err := w.log.Append(w.t.Context(), a); err != nil {
			w.t.Error(err)
		}
	}
}

// keyOf is the key of an event's order.
func keyOf(d ports.Delivery) string {
	if m, ok := d.Event.(domain.MessageNew); ok {
		return string(m.Content)
	}
	return ""
}

// watchedStores are stores whose leases the ledger knows.
type watchedStores struct {
	groups.Stores
	ledger *ledger
}

func (s *watchedStores) Store(name string) groups.Store {
	return &watchedStore{s.Stores.Store(name), s.ledger}
}

type watchedStore struct {
	groups.Store
	ledger *ledger
}

func (s *watchedStore) Acquire(ctx context.Context, partitions []groups.Partition, lost []bool, by groups.Applicant) ([]*groups.Lease, []error) {
	leases, errs := s.Store.Acquire(ctx, partitions, lost, by)
	for i, l := range leases {
		if l != nil {
			s.ledger.granted(partitions[i].Number, l.Epoch)
		}
	}
	return leases, errs
}
