package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Member is one member of a consumer group. Run and four loops do its work: assignments, head scans, commits, and batches if it has a batch handler. For
// each owned partition, one more goroutine follows the stream and one catches up from the log.
type Member struct {
	config  Config
	name    string // unique in the group
	handler Handler

	idle    chan Delivery // to a goroutine of [Calls] that waits for one
	waiting atomic.Int32  // goroutines that do

	done        chan struct{} // closed at the end
	failed      chan struct{} // closed when the member ends by itself
	stopping    chan struct{} // closed when it has to end
	once        sync.Once
	hurried     chan struct{} // closed when the drain has to end
	hurry       sync.Once
	commits     signal // there is something to commit
	full        signal // many deliveries are finished: the next commit does not wait for more
	assignments signal // the assignment has to be checked
	scans       signal // a partition was acquired: its heads are to be compared
	batches     signal // for a batch handler: chats may be ready

	handlers context.Context // of deliveries; outlives the member by the drain
	abandon  context.CancelFunc
	reading  sync.WaitGroup // for the goroutines of partitions
	trims    []time.Time    // of each partition's stream, by this member; only the assignment loop uses it

	mu          sync.Mutex
	core        *delivery.Member
	timer       *time.Timer // of the state machine
	wakeAt      time.Time   // when it fires
	dispatching bool        // a goroutine starts handlers
	failure     error
}

// Errors of a member.
var (
	// ErrClosed is returned by a member that was stopped.
	ErrClosed = ports.ErrClosed
)

// Join makes a member, and creates its group where it does not exist: events that are appended after Join has returned reach the group. While the store is
// unavailable Join waits, half a minute at most. Run has to follow.
func Join(ctx context.Context, c Config, h Handler) (*Member, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if h == nil && c.Batch == nil {
		return nil, &domain.InvalidError{Field: "handler", Problem: "is missing", Allowed: "one, or a batch handler in the configuration"}
	}
	m := &Member{
		config: c, name: uuid.NewString(), handler: h, idle: make(chan Delivery),
		done: make(chan struct{}), failed: make(chan struct{}), stopping: make(chan struct{}), hurried: make(chan struct{}),
		commits: newSignal(), full: newSignal(), assignments: newSignal(), scans: newSignal(), batches: newSignal(), trims: make([]time.Time, len(c.Partitions)),
	}
	m.core = delivery.New(delivery.Config{
		Order: c.Order, OnPoison: c.OnPoison, Retry: c.Retry, Concurrency: c.Concurrency, ChatConcurrency: c.ChatConcurrency, DeadLetterBound: c.DeadLetterBound,
		Ephemeral: c.Ephemeral, Lease: c.Lease, Slow: c.Slow, CoolDown: c.CoolDown, Seed: rand.Uint64(), //nolint:gosec // spreads load
	}, c.Partitions)
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// Create creates a group where it does not exist, as Join does, without a member: events that are appended after Create has returned reach the group. Of the
// configuration it needs what a start needs: Group, Store, Partitions, LogID, Backlog, Codec and Start.
func Create(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	return (&Member{config: c}).prepare(ctx)
}

// prepareLimit is how long prepare waits while the store is unavailable.
const prepareLimit = 30 * time.Second

// preparePauses are the pauses between two attempts of prepare.
func preparePauses() backoff.Policy {
	return backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second}
}

// prepare creates the group where it does not exist. It waits while the store, or a part of it, is unavailable, as running members do.
func (m *Member) prepare(ctx context.Context) error {
	began := time.Now()
	for failed := 1; ; failed++ {
		err := m.create(ctx)
		switch {
		case !errors.Is(err, ports.ErrUnavailable):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(began) > prepareLimit:
			return fmt.Errorf("given up after %v: %w", prepareLimit, err)
		}
		wait := preparePauses().Pause(failed)
		m.config.Logger.WarnContext(ctx, "group not ready, trying again", "group", m.config.Group, "wait", wait, "error", err)
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// create creates the group on every partition. It continues where another attempt ended.
func (m *Member) create(ctx context.Context) error {
	for _, p := range m.config.Partitions {
		fresh, err := m.config.Store.Create(ctx, p, m.config.Start)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		if err := m.seed(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// seed writes the first checkpoints of a new group: the heads of all chats, or the last events before the group's start. A chat that cannot be read gets
// none: after its repair it is delivered from its first event on.
func (m *Member) seed(ctx context.Context, p groups.Partition) error {
	for cursor := uint64(0); ; {
		heads, next, _, err := m.config.Backlog.ListHeads(ctx, p.Number, cursor)
		if err != nil {
			return err
		}
		heads = slices.DeleteFunc(heads, func(h ports.ChatHead) bool {
			if h.Err != nil {
				m.reportUnreadable(ctx, h.Chat, h.Err)
			}
			return h.Err != nil
		})
		checkpoints, err := m.firstCheckpoints(ctx, p, heads)
		if err != nil {
			return err
		}
		more, err := m.config.Store.Seed(ctx, p, checkpoints, next == 0)
		if err != nil || !more {
			return err
		}
		cursor = next
	}
}

// Stop makes the member end.
func (m *Member) Stop() { m.once.Do(func() { close(m.stopping) }) }

// EndDrain ends the contexts of the handlers of a member that ends, and shortly after that its drain.
func (m *Member) EndDrain() { m.hurry.Do(func() { close(m.hurried) }) }

// Done is closed when the member has ended. Handlers that it has left behind may still run.
func (m *Member) Done() <-chan struct{} { return m.done }

// Failed is closed when the member ends by itself; Err then returns why.
func (m *Member) Failed() <-chan struct{} { return m.failed }

// Err returns why the member has ended by itself: [ports.ErrLogLost], [ports.ErrNewerLog] or [groups.ErrGroupDeleted]. It returns nil if it has not.
func (m *Member) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

// fail ends the member because of an error.
func (m *Member) fail(err error) {
	m.mu.Lock()
	first := m.failure == nil
	if first {
		m.failure = err
		close(m.failed)
	}
	m.mu.Unlock()
	if first {
		m.config.Logger.Error("delivery stops", "group", m.config.Group, "error", err)
	}
	m.Stop()
}

// Run runs the member until ctx ends or it is stopped. It then stops in this order. It reads no more and starts no handlers. Handlers end within
// the drain, under leases that are still renewed; their contexts end shortly before the drain does. Their outcomes are committed, within the finish.
// The partitions are released. Handlers that outlast the drain are left behind.
func (m *Member) Run(ctx context.Context) {
	defer close(m.done)
	base := context.WithoutCancel(ctx)
	m.handlers, m.abandon = context.WithCancel(base)
	defer m.abandon()

	reading, stopReading := context.WithCancel(base)
	control, stopControl := context.WithCancel(base)
	defer stopControl()
	var ruling, rest sync.WaitGroup
	ruling.Go(func() { m.assignmentLoop(reading) })
	ruling.Go(func() { m.scanLoop(reading) })
	rest.Go(func() { m.commitLoop(control) })
	if m.config.Batch != nil {
		go m.batchLoop(control) // a handler that does not return is left behind
	}
	defer rest.Wait()

	select {
	case <-ctx.Done():
		m.Stop()
	case <-m.stopping:
	}
	drain, endDrain := context.WithTimeout(base, m.config.Drain)
	defer endDrain()
	rest.Go(func() { m.endHandlers(drain, endDrain) })
	stopReading()
	m.mu.Lock()
	m.core.Drain(time.Now())
	m.unlock()
	ruling.Wait()
	m.until(drain, func() bool { return m.core.InFlight() == 0 })
	endDrain()
	finish, endFinish := context.WithTimeout(base, m.config.Finish)
	defer endFinish()
	var held []groups.Release
	m.until(finish, func() bool {
		if !m.core.Committed() {
			return false
		}
		held = m.core.Leave() // at once: an outcome that a left-behind handler reports from now on does not count, because no commit stores it
		return true
	})
	stopControl()
	rest.Wait()
	m.reading.Wait() // for requests under way, whose results are discarded
	leave, endLeave := context.WithTimeout(base, leaveTimeout)
	defer endLeave()
	m.leave(leave, held)
}

// endHandlers ends the contexts of the handlers shortly before the drain ends, or when the drain has to end earlier, which it does shortly after that.
func (m *Member) endHandlers(drain context.Context, endDrain context.CancelFunc) {
	last := min(time.Second, m.config.Drain/10)
	late := time.NewTimer(m.config.Drain - last)
	defer late.Stop()
	select {
	case <-late.C:
		m.abandon()
	case <-m.hurried:
		m.abandon()
		_ = backoff.Sleep(drain, last)
		endDrain()
	case <-drain.Done():
	}
}

// leaveTimeout bounds the release of the partitions, however long the commits before it took: otherwise other members would wait for the leases to
// expire.
const leaveTimeout = time.Second

// until waits until holds returns true or ctx ends. After a failure it waits only for running handlers. holds is called with the mutex held.
func (m *Member) until(ctx context.Context, holds func() bool) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		m.reclaim()
		m.mu.Lock()
		done := holds() || m.failure != nil && m.core.InFlight() == 0
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// leave releases the partitions, and removes this member from the group. held are those whose leases have ended already.
func (m *Member) leave(ctx context.Context, held []groups.Release) {
	m.mu.Lock()
	held = append(held, m.core.Leave()...) // of a member whose outcomes were not committed within the finish
	if m.timer != nil {
		m.timer.Stop()
	}
	failed := m.failure != nil
	m.unlock()
	m.mu.Lock()
	if m.timer != nil {
		m.timer.Stop()
	}
	m.mu.Unlock()
	if failed {
		return
	}
	err := m.config.Store.Release(ctx, held)
	_, leaveErr := m.config.Store.Heartbeat(ctx, m.name, 0, nil, m.config.CoolDown)
	if err := errors.Join(err, leaveErr); err != nil {
		m.config.Logger.Warn("partitions not released, their leases have to expire", "group", m.config.Group, "error", err)
	}
}

// unlock passes on what the state machine asks for, and unlocks it.
func (m *Member) unlock() {
	signals := m.core.TakeSignals()
	if signals.Commit {
		m.commits.wake()
		if m.core.Finished() >= manyFinished {
			m.full.wake()
		}
	}
	if signals.Assign {
		m.assignments.wake()
	}
	for _, p := range signals.Partitions {
		loops, _ := p.Data.(*partitionLoops)
		switch room, steps := p.TakeWakes(); {
		case loops == nil:
		case room && steps:
			loops.room.wake()
			loops.steps.wake()
		case room:
			loops.room.wake()
		case steps:
			loops.steps.wake()
		}
	}
	if at := m.core.WakeAt(); !at.IsZero() && (m.wakeAt.IsZero() || at.Before(m.wakeAt)) {
		m.arm(at)
	}
	events := m.core.TakeEvents()
	if len(events) > 0 {
		events = slices.Clone(events)
	}
	m.mu.Unlock()
	for i := range events {
		m.observe(&events[i])
	}
	if signals.Reclaim {
		m.reclaim()
	}
}

// arm has the state machine called at a time. The mutex is held.
func (m *Member) arm(at time.Time) {
	m.wakeAt = at
	if m.timer == nil {
		m.timer = time.AfterFunc(time.Until(at), m.tick)
		return
	}
	m.timer.Reset(time.Until(at))
}

// tick lets the state machine do what is due.
func (m *Member) tick() {
	m.mu.Lock()
	m.wakeAt = time.Time{}
	m.core.Tick(time.Now())
	m.unlock()
	m.dispatch()
}

// Owned returns the partitions that the member owns now.
func (m *Member) Owned() []groups.Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.core.OwnedPartitions()
}

// Name returns the name of the member, which is unique in the group.
func (m *Member) Name() string { return m.name }

// signal wakes a waiting goroutine.
type signal struct{ c chan struct{} }

func newSignal() signal { return signal{make(chan struct{}, 1)} }

func (s signal) wake() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// pauses are pauses between attempts, each twice as long as the one before.
type pauses struct {
	failed int
	policy backoff.Policy
}

func newPauses() *pauses {
	return &pauses{policy: backoff.Policy{First: 20 * time.Millisecond, Max: 500 * time.Millisecond}}
}

func (p *pauses) reset() { p.failed = 0 }

// after waits. It returns false if ctx ends before.
func (p *pauses) after(ctx context.Context) bool {
	p.failed++
	return p.policy.Wait(ctx, p.failed) == nil
}
