package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/internal/backoff"
	"chatcore/ports"
)

// member is one Subscribe: a member of the group, on the partitions of a topic. Four goroutines do its work: run starts and stops it,
// commitLoop commits, rule acquires and releases partitions, scanLoop compares heads with checkpoints. For each owned partition, one more goroutine
// follows the stream and one catches up from the log.
type member struct {
	*Subscriber
	group    string
	instance string // of the member, unique in the group
	counters *Counters

	out         chan *message.Message
	done        chan struct{} // closed at the end
	stopping    chan struct{} // closed when it has to end
	once        sync.Once
	commits     *signal // there is something to commit
	assignments *signal // the assignment has to be checked
	scans       *signal // a partition was acquired: its heads are to be compared
	batches     *signal // for a batch handler: chats may be ready

	handlers context.Context // of messages; outlives the member by the drain
	abandon  context.CancelFunc
	reading  sync.WaitGroup // for the goroutines of partitions

	mu            sync.Mutex
	partitions    []*assignment
	ready         queue
	inFlightCount int
	inFlight      flightList
	ackedCount    int // deliveries since the last commit
	stopped       bool
	failure       error

	dispatching bool // a goroutine dispatches
}

// assignment is a partition and this member's state of it.
type assignment struct {
	Partition
	owned   *ownedPartition // nil while this member does not own it
	earlier map[string]int  // handlers of earlier leases that still run, by chat; "" for other programs' entries
	lost    bool            // the last lease had read records that were lost, it is unknown which
	trimmed time.Time

	unreserved    map[string]failure // by chat: starts of earlier leases that Redis counts and that were no attempts
	declinedUntil time.Time          // by this member, because of an event that it cannot read
	declines      bool               // the other members do not know yet
}

// queue is a FIFO queue of the chat queues that are ready.
type queue struct {
	items []*chatQueue
	first int
}

func (q *queue) push(l *chatQueue) { q.items = append(q.items, l) }

func (q *queue) pop() *chatQueue {
	if q.first == len(q.items) {
		return nil
	}
	l := q.items[q.first]
	q.items[q.first] = nil
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	} else if q.first >= 1024 {
		q.items = q.items[:copy(q.items, q.items[q.first:])]
		q.first = 0
	}
	return l
}

func newMember(s *Subscriber, partitions []Partition) *member {
	sub := &member{
		Subscriber: s, group: s.config.Group, instance: watermill.NewUUID(), counters: s.config.Counters,
		out: make(chan *message.Message, s.config.InFlight), done: make(chan struct{}), stopping: make(chan struct{}),
		commits: newSignal(), assignments: newSignal(), scans: newSignal(), batches: newSignal(),
	}
	for _, l := range partitions {
		sub.partitions = append(sub.partitions, &assignment{Partition: l, earlier: make(map[string]int), unreserved: make(map[string]failure)})
	}
	return sub
}

// prepareLimit is how long prepare waits while Redis is unavailable.
const prepareLimit = 30 * time.Second

// preparePauses are the pauses between two attempts of prepare.
func preparePauses() backoff.Policy {
	return backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second}
}

// prepare creates the group where it does not exist. It waits while Redis, or a part of it, is unavailable, as running members do.
func (s *member) prepare(ctx context.Context) error {
	began := time.Now()
	for failed := 1; ; failed++ {
		err := s.create(ctx)
		switch {
		case !errors.Is(err, ports.ErrUnavailable):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(began) > prepareLimit:
			return fmt.Errorf("given up after %v: %w", prepareLimit, err)
		}
		wait := preparePauses().Pause(failed)
		s.config.Logger.WarnContext(ctx, "group not ready, trying again", "group", s.group, "wait", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.stopping:
			timer.Stop()
			return ErrClosed
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// create creates the group on every partition. It continues where another attempt ended.
func (s *member) create(ctx context.Context) error {
	for _, l := range s.partitions {
		fresh, err := s.store.create(ctx, l.Partition, s.config.FromBeginning)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		if err := s.seedCheckpoints(ctx, l.Partition); err != nil {
			return err
		}
	}
	return nil
}

// seedCheckpoints initializes a new group's checkpoints to the heads of all chats. A chat whose head is missing gets none: after its repair it is delivered from
// its first event on.
func (s *member) seedCheckpoints(ctx context.Context, l Partition) error {
	for cursor := uint64(0); ; {
		heads, next, _, err := s.config.Backlog.ListHeads(ctx, l.Partition, cursor)
		if err != nil {
			return err
		}
		heads = slices.DeleteFunc(heads, func(h ports.ChatHead) bool {
			if h.Err != nil {
				s.config.Logger.ErrorContext(ctx, "the log has a hole, the group begins with the chat's first event", "group", s.group, "chat", h.Chat, "error", h.Err)
			}
			return h.Err != nil
		})
		goOn, err := s.store.seedCheckpoints(ctx, l, heads, next == 0)
		if err != nil || !goOn {
			return err
		}
		cursor = next
	}
}

// stop makes the member end.
func (s *member) stop() { s.once.Do(func() { close(s.stopping) }) }

// fail ends the member because of an error.
func (s *member) fail(err error) {
	s.mu.Lock()
	first := s.failure == nil
	if first {
		s.failure = err
	}
	s.mu.Unlock()
	if first {
		s.config.Logger.Error("delivery stops", "group", s.group, "error", err)
		s.ended(err)
	}
	s.stop()
}

// run runs the member until ctx ends or it is halted. It then stops in this order. It reads no more and starts no handlers. Handlers end within
// the drain, under leases that are still renewed; their contexts end shortly before the drain does. Their outcomes are committed, within the finish.
// The partitions are released. Handlers that outlast the drain are left behind.
func (s *member) run(ctx context.Context) {
	defer s.remove(s)
	defer close(s.done)
	defer close(s.out)
	base := context.WithoutCancel(ctx)
	s.handlers, s.abandon = context.WithCancel(base)
	defer s.abandon()

	reading, stopReading := context.WithCancel(base)
	control, stopControl := context.WithCancel(base)
	defer stopControl()
	var ruling, rest sync.WaitGroup
	ruling.Go(func() { s.assignmentLoop(reading) })
	ruling.Go(func() { s.scanLoop(reading) })
	rest.Go(func() { s.commitLoop(control) })
	if s.config.Batch != nil {
		go s.batchLoop(control) // a handler that does not return is left behind
	}
	defer rest.Wait()

	select {
	case <-ctx.Done():
		s.stop()
	case <-s.stopping:
	}
	end := time.Now().Add(s.config.Drain)
	late := time.AfterFunc(s.config.Drain-min(time.Second, s.config.Drain/10), s.abandon)
	defer late.Stop()
	stopReading()
	s.mu.Lock()
	s.stopped = true
	for _, l := range s.partitions {
		if l.owned != nil {
			l.owned.rewind()
		}
	}
	s.mu.Unlock()
	ruling.Wait()
	drain, endDrain := context.WithDeadline(base, end)
	defer endDrain()
	s.until(drain, func() bool { return s.inFlightCount == 0 })
	finish, endFinish := context.WithTimeout(base, s.config.Finish)
	defer endFinish()
	s.flush(finish)
	stopControl()
	rest.Wait()
	s.reading.Wait() // for requests under way, whose results are discarded
	leave, endLeave := context.WithTimeout(base, leaveTimeout)
	defer endLeave()
	s.leave(leave)
}

// leaveTimeout bounds the release of the partitions, however long the commits before it took: otherwise other members would wait for the leases to
// expire.
const leaveTimeout = time.Second

// flush waits until the outcomes of all handlers are committed.
func (s *member) flush(ctx context.Context) {
	s.until(ctx, func() bool {
		for _, l := range s.partitions {
			if l.owned != nil && !l.owned.quietButFlights() {
				return false
			}
		}
		return true
	})
}

// until waits until holds returns true or ctx ends. After a failure it waits only for running handlers.
func (s *member) until(ctx context.Context, holds func() bool) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		s.reclaimUndispatched()
		s.mu.Lock()
		done := holds() || s.failure != nil && s.inFlightCount == 0
		s.mu.Unlock()
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

// leave releases the partitions, and removes this member from the group.
func (s *member) leave(ctx context.Context) {
	s.mu.Lock()
	var held []released
	for _, l := range s.partitions {
		if l.owned != nil {
			held = append(held, l.release())
		}
	}
	s.mu.Unlock()
	if s.failure != nil {
		return
	}
	err := s.store.release(ctx, held)
	_, beatErr := s.store.heartbeat(ctx, s.partitions[0].Partition, s.instance, 0, nil, s.config.CoolDown)
	if err := errors.Join(err, beatErr); err != nil {
		s.config.Logger.Warn("partitions not released, their leases have to expire", "group", s.group, "error", err)
	}
}
