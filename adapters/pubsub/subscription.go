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

	"chatcore/ports"
)

// subscription is one Subscribe: the lanes of a topic, as far as they are this instance's. Four goroutines do its work, and two more for each
// lane: run begins and ends it, commitLoop takes down what was finished, rule takes and gives back lanes, scanLoop compares heads with
// checkpoints; of each lane one follows the stream and one catches up from the log.
type subscription struct {
	*Subscriber
	group    string
	instance string // among those of the group
	counters *Counters

	out     chan *message.Message
	done    chan struct{} // closed at the end
	halting chan struct{} // closed when it is to end
	once    sync.Once
	commits *signal // there is something to take down
	rules   *signal // there is something to decide about lanes
	scans   *signal // a partition was acquired: its heads are to be compared
	batches *signal // for a batch handler: chats may be ready

	handlers context.Context // of messages: outlives the subscription by the drain
	abandon  context.CancelFunc
	reading  sync.WaitGroup // per lane

	mu       sync.Mutex
	lanes    []*laneState
	ready    queue
	flying   int
	inFlight flightList
	finished int // since the last commit
	stopped  bool
	failure  error

	dispatching bool // somebody hands out
}

// laneState is a lane and who of this instance has it.
type laneState struct {
	Lane
	term    *term          // nil while it is another's
	earlier map[string]int // handlers of earlier terms that still run, by chat; "" for other programs' entries
	lost    bool           // of what the last term had read, and nobody knows what
	trimmed time.Time

	unreserved    map[string]failure // by chat: starts of earlier terms that Redis counts and that were no attempts
	declinedUntil time.Time          // by this instance, because of an event that it cannot read
	declines      bool               // the other members do not know yet
}

// queue is lines that are ready, first in, first out.
type queue struct {
	lines []*line
	first int
}

func (q *queue) push(l *line) { q.lines = append(q.lines, l) }

func (q *queue) pop() *line {
	if q.first == len(q.lines) {
		return nil
	}
	l := q.lines[q.first]
	q.lines[q.first] = nil
	q.first++
	if q.first == len(q.lines) {
		q.lines, q.first = q.lines[:0], 0
	} else if q.first >= 1024 {
		q.lines = q.lines[:copy(q.lines, q.lines[q.first:])]
		q.first = 0
	}
	return l
}

func newSubscription(s *Subscriber, lanes []Lane) *subscription {
	sub := &subscription{
		Subscriber: s, group: s.config.Group, instance: watermill.NewUUID(), counters: s.config.Counters,
		out: make(chan *message.Message, s.config.InFlight), done: make(chan struct{}), halting: make(chan struct{}),
		commits: newSignal(), rules: newSignal(), scans: newSignal(), batches: newSignal(),
	}
	for _, l := range lanes {
		sub.lanes = append(sub.lanes, &laneState{Lane: l, earlier: make(map[string]int), unreserved: make(map[string]failure)})
	}
	return sub
}

// Of preparing: how long it may take while Redis is away, and how far apart the attempts are, doubling.
const (
	prepareLimit = 30 * time.Second
	prepareFirst = 100 * time.Millisecond
	prepareMost  = 2 * time.Second
)

// prepare makes the group where it is not there yet. A Redis that is away, or a part of it, is waited for: others that have begun do so too.
func (s *subscription) prepare(ctx context.Context) error {
	began := time.Now()
	for wait := prepareFirst; ; wait = min(2*wait, prepareMost) {
		err := s.create(ctx)
		switch {
		case !errors.Is(err, ports.ErrUnavailable):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(began) > prepareLimit:
			return fmt.Errorf("given up after %v: %w", prepareLimit, err)
		}
		s.config.Logger.WarnContext(ctx, "group not ready, trying again", "group", s.group, "wait", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.halting:
			timer.Stop()
			return ErrClosed
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// create makes the group on every lane. What another attempt has made is found.
func (s *subscription) create(ctx context.Context) error {
	for _, l := range s.lanes {
		fresh, err := s.store.create(ctx, l.Lane, s.config.FromBeginning)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		if err := s.lay(ctx, l.Lane); err != nil {
			return err
		}
	}
	return nil
}

// lay gives a new group the heads of all chats as checkpoints. A chat whose head is missing gets none: once it is repaired it is delivered from
// its first event on.
func (s *subscription) lay(ctx context.Context, l Lane) error {
	for cursor := uint64(0); ; {
		heads, next, _, err := s.config.Backlog.Heads(ctx, l.Partition, cursor)
		if err != nil {
			return err
		}
		heads = slices.DeleteFunc(heads, func(h ports.ChatHead) bool {
			if h.Err != nil {
				s.config.Logger.ErrorContext(ctx, "the log has a hole, the group begins with the chat's first event", "group", s.group, "chat", h.Chat, "error", h.Err)
			}
			return h.Err != nil
		})
		goOn, err := s.store.lay(ctx, l, heads, next == 0)
		if err != nil || !goOn {
			return err
		}
		cursor = next
	}
}

// halt has the subscription end.
func (s *subscription) halt() { s.once.Do(func() { close(s.halting) }) }

// fail ends the subscription for a reason of its own.
func (s *subscription) fail(err error) {
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
	s.halt()
}

// run does everything until ctx ends or the subscription is halted. It stops in this order: no reading and no new handlers; handlers end,
// for as long as the drain lasts, under leases that are still renewed, and with contexts that end shortly before it; what they finished is
// taken down; lanes are given back, within the finish. Handlers that outlast the drain are left behind.
func (s *subscription) run(ctx context.Context) {
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
	ruling.Go(func() { s.rule(reading) })
	ruling.Go(func() { s.scanLoop(reading) })
	rest.Go(func() { s.commitLoop(control) })
	if s.config.Batch != nil {
		go s.batchLoop(control) // a handler that does not return is left behind
	}
	defer rest.Wait()

	select {
	case <-ctx.Done():
		s.halt()
	case <-s.halting:
	}
	end := time.Now().Add(s.config.Drain)
	late := time.AfterFunc(s.config.Drain-min(time.Second, s.config.Drain/10), s.abandon)
	defer late.Stop()
	stopReading()
	s.mu.Lock()
	s.stopped = true
	for _, l := range s.lanes {
		if l.term != nil {
			l.term.rewind()
		}
	}
	s.mu.Unlock()
	ruling.Wait()
	drain, endDrain := context.WithDeadline(base, end)
	defer endDrain()
	s.until(drain, func() bool { return s.flying == 0 })
	finish, endFinish := context.WithTimeout(base, s.config.Finish)
	defer endFinish()
	s.flush(finish)
	stopControl()
	rest.Wait()
	s.reading.Wait() // for what was asked of Redis; it comes to nothing
	leave, endLeave := context.WithTimeout(base, leaveTimeout)
	defer endLeave()
	s.leave(leave)
}

// leaveTimeout bounds the release of the partitions, whatever the commits before it took: otherwise others would wait for the leases to expire.
const leaveTimeout = time.Second

// flush waits until what handlers finished is committed.
func (s *subscription) flush(ctx context.Context) {
	s.until(ctx, func() bool {
		for _, l := range s.lanes {
			if l.term != nil && !l.term.quietButFlights() {
				return false
			}
		}
		return true
	})
}

// until waits for something to hold, or for ctx to end.
func (s *subscription) until(ctx context.Context, holds func() bool) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		s.recall()
		s.mu.Lock()
		done := holds() || s.failure != nil && s.flying == 0
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

// leave gives back the lanes, and tells the others that this instance goes.
func (s *subscription) leave(ctx context.Context) {
	s.mu.Lock()
	var held []released
	for _, l := range s.lanes {
		if l.term != nil {
			held = append(held, l.release())
		}
	}
	s.mu.Unlock()
	if s.failure != nil {
		return
	}
	err := s.store.release(ctx, held)
	_, beatErr := s.store.beat(ctx, s.lanes[0].Lane, s.instance, 0, nil, s.config.CoolDown)
	if err := errors.Join(err, beatErr); err != nil {
		s.config.Logger.Warn("lanes are given back by the end of their leases only", "group", s.group, "error", err)
	}
}
