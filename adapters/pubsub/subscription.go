package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/domain"
	"chatcore/ports"
)

// subscription is one Subscribe: the lanes of a topic, as far as they are this instance's. Three goroutines do its work, and two more for each
// lane: run begins and ends it, commitLoop takes down what was finished, rule takes and gives back lanes; of each lane one follows the stream
// and one catches up from the log.
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

	handlers context.Context // of messages: outlives the subscription by the drain
	abandon  context.CancelFunc
	reading  sync.WaitGroup // per lane

	mu       sync.Mutex
	lanes    []*laneState
	ready    queue
	flying   int
	finished int // since the last commit
	stopped  bool
	failure  error
}

// laneState is a lane and who of this instance has it.
type laneState struct {
	Lane
	term    *term          // nil while it is another's
	earlier map[string]int // handlers of earlier terms that still run, by chat; "" for other programs' entries
	lost    bool           // of what the last term had read, and nobody knows what
	trimmed time.Time
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
		commits: newSignal(), rules: newSignal(),
	}
	for _, l := range lanes {
		sub.lanes = append(sub.lanes, &laneState{Lane: l, earlier: make(map[string]int)})
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

// lay gives a new group the heads of all chats as checkpoints.
func (s *subscription) lay(ctx context.Context, l Lane) error {
	for cursor := uint64(0); ; {
		heads, next, _, err := s.config.Backlog.Heads(ctx, l.Partition, cursor)
		if err != nil {
			return err
		}
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
// for as long as the drain lasts, under leases that are still renewed; what they finished is taken down; lanes are given back.
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
	rest.Go(func() { s.commitLoop(control) })
	defer rest.Wait()

	select {
	case <-ctx.Done():
		s.halt()
	case <-s.halting:
	}
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
	s.reading.Wait()
	s.drain(base)
	stopControl()
	rest.Wait()
	s.leave(base)
}

// drain waits until handlers have ended, and then until what they finished is taken down. Before the drain is over it cancels their contexts.
func (s *subscription) drain(ctx context.Context) {
	const flush = 2 * time.Second
	late := time.AfterFunc(s.config.Drain-min(time.Second, s.config.Drain/10), s.abandon)
	defer late.Stop()
	s.until(ctx, s.config.Drain, func() bool { return s.flying == 0 })
	s.until(ctx, flush, func() bool {
		for _, l := range s.lanes {
			if l.term != nil && !l.term.quietButFlights() {
				return false
			}
		}
		return true
	})
}

// until waits for something to hold, at most so long.
func (s *subscription) until(ctx context.Context, most time.Duration, holds func() bool) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
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
	var lanes []Lane
	var epochs []uint64
	for _, l := range s.lanes {
		if l.term != nil {
			l.term.close()
			lanes, epochs = append(lanes, l.Lane), append(epochs, l.term.epoch)
			l.term = nil
		}
	}
	s.mu.Unlock()
	if s.failure != nil {
		return
	}
	err := s.store.release(ctx, lanes, epochs)
	_, beatErr := s.store.beat(ctx, s.lanes[0].Lane, s.instance, 0)
	if err := errors.Join(err, beatErr); err != nil {
		s.config.Logger.Warn("lanes are given back by the end of their leases only", "group", s.group, "error", err)
	}
}

// dispatch hands out what is ready. Whoever made something ready does it: waking another goroutine would take longer than all the rest.
func (s *subscription) dispatch() {
	var picked [16]*parcel
	for {
		s.mu.Lock()
		n := s.pick(picked[:])
		s.mu.Unlock()
		if n == 0 {
			return
		}
		for _, p := range picked[:n] {
			s.hand(p)
		}
	}
}

// pick takes parcels whose handlers may begin.
func (s *subscription) pick(into []*parcel) int {
	n := 0
	if s.stopped {
		return 0
	}
	now := time.Now()
	for n < len(into) && s.flying < s.config.InFlight {
		l := s.ready.pop()
		if l == nil {
			break
		}
		l.ready = false
		t, p := l.term, l.head
		switch {
		case t.over || p == nil || l.flying || l.waiting:
		// until the lane is to be kept after all, the lease is renewed, or the chat's handler under an earlier term has ended
		case t.draining || now.After(t.deadline) || t.earlier[l.chat] > 0:
			t.stalled = append(t.stalled, l)
		case p.starts >= s.config.Retry.Attempts && p.letter == "":
			t.setAside(l, errUnended)
			t.show(l)
		default:
			l.flying, l.since, p.flying = true, now, true
			p.flight++
			t.flights++
			s.flying++
			into[n] = p
			n++
		}
	}
	return n
}

// errUnended is a last attempt whose process ended before the handler.
var errUnended = errors.New("the last attempt did not end: its process was gone")

// hand gives a parcel to the handler: there is room for all that may be with handlers. What cannot be read is set aside without one.
func (s *subscription) hand(p *parcel) {
	if !s.settled {
		s.handWithAcks(p)
		return
	}
	msg, err := p.message(s.handlers, false, s.config.Codec)
	if err != nil {
		s.land(p, p.flight, broken(err))
		return
	}
	s.out <- msg
}

// handWithAcks does so without a router. The message's context ends with its ack.
func (s *subscription) handWithAcks(p *parcel) {
	ctx, end := context.WithCancel(s.handlers)
	msg, err := p.message(ctx, true, s.config.Codec)
	if err != nil {
		end()
		s.land(p, p.flight, broken(err))
		return
	}
	go s.await(p, p.flight, msg, end)
	s.out <- msg
}

func broken(err error) error { return Permanent(errors.Join(ErrBroken, err)) }

// recall takes back what nobody has taken, and hands out again what may still begin: a lane may have to be given away, or its lease have ended,
// while nobody came.
func (s *subscription) recall() {
	var untaken []*parcel
	for waiting := true; waiting; {
		select {
		case msg, open := <-s.out:
			if waiting = open; open {
				untaken = append(untaken, parcelOf(msg.Context()))
			}
		default:
			waiting = false
		}
	}
	for _, p := range untaken {
		s.land(p, p.flight, errNotBegun)
	}
	s.dispatch()
}

// mayBegin reports whether a handler may begin with what was handed out: the lane is still this instance's.
func (s *subscription) mayBegin(p *parcel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped && !p.term.over && !p.term.draining && time.Now().Before(p.term.deadline)
}

// errNotBegun is a parcel that found no handler in time, or whose handler was given up: it counts as no attempt.
var errNotBegun = errors.New("not begun")

// await settles a message by its ack.
func (s *subscription) await(p *parcel, flight int, msg *message.Message, end context.CancelFunc) {
	defer end()
	select {
	case <-msg.Acked():
		s.outcome(p, flight, nil)
	case <-msg.Nacked():
		s.outcome(p, flight, errUnsettled)
	case <-s.handlers.Done():
		s.outcome(p, flight, errNotBegun)
	}
}

// outcome takes what became of a parcel, and goes on. Only the first word counts.
func (s *subscription) outcome(p *parcel, flight int, err error) {
	s.land(p, flight, err)
	s.dispatch()
}

func (s *subscription) land(p *parcel, flight int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.flying || p.flight != flight {
		return
	}
	p.flying = false
	l, t := p.line, p.term
	l.flying = false
	s.flying--
	t.flights--
	switch {
	case t.over:
		s.unbar(t, l)
		return
	case err == nil:
		t.finish(l)
	case errors.Is(err, errNotBegun) || s.handlers.Err() != nil:
		t.unarrange(l)
	default:
		t.fail(l, err)
	}
	t.show(l)
	if t.draining && t.flights == 0 {
		s.rules.wake()
	}
}

// unbar lets a chat go on whose handler under an earlier term has ended.
func (s *subscription) unbar(t *term, l *line) {
	if t.earlier[l.chat]--; t.earlier[l.chat] <= 0 {
		delete(t.earlier, l.chat)
	}
	for _, lane := range s.lanes {
		if lane.Stream == t.lane.Stream && lane.term != nil {
			lane.term.unstall()
		}
	}
}

// retry begins the next start of a line's head: first it is taken down that there is one.
func (s *subscription) retry(t *term, l *line) {
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.over || s.stopped || !l.waiting || l.head == nil {
		return
	}
	if t.draining { // the lane may be kept after all
		l.timer.Reset(held)
		return
	}
	if l.foreign() || l.head.letter != "" {
		l.waiting = false
		t.show(l)
		return
	}
	l.arranged = true
	t.touch(l)
}

// commitLoop takes down what was finished, of all lanes in one round trip, and renews the leases with it.
func (s *subscription) commitLoop(ctx context.Context) {
	const gather = time.Millisecond // what comes within goes together
	const many = 256                // finished deliveries, to which no more are waited for
	renewal := s.config.Lease / 3
	tick := time.NewTicker(s.config.Lease / 12)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	for {
		select {
		case <-s.commits.c:
			s.mu.Lock()
			few := s.finished < many
			s.mu.Unlock()
			if few {
				pause.Reset(gather)
				<-pause.C
			}
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !s.commitOnce(ctx, renewal) { // do not hammer a Redis that does not answer
			pause.Reset(50 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
			s.commits.wake()
		}
	}
}

// commitOnce reports false if Redis did not answer.
func (s *subscription) commitOnce(ctx context.Context, renewal time.Duration) bool {
	var terms []*term
	var lanes []Lane
	var epochs []uint64
	var changes []*change
	s.mu.Lock()
	now := time.Now()
	for _, l := range s.lanes {
		t := l.term
		if t == nil {
			continue
		}
		if t.pending == nil && t.build(now, renewal) == nil {
			continue
		}
		terms, lanes, epochs, changes = append(terms, t), append(lanes, t.lane), append(epochs, t.epoch), append(changes, t.pending)
	}
	s.finished = 0
	s.mu.Unlock()
	if len(terms) == 0 {
		return true
	}
	answers := s.store.commit(ctx, lanes, epochs, changes, s.config.Lease)
	reached := true
	for i, a := range answers {
		if errors.Is(a.err, ports.ErrUnavailable) {
			s.config.Logger.Debug("commit not made, trying again", "lane", terms[i].String(), "group", s.group, "error", a.err)
			reached = false
			continue
		}
		s.take(ctx, terms[i], now, a)
	}
	return reached
}

// take does what the answer to a term's commit asks for.
func (s *subscription) take(ctx context.Context, t *term, sent time.Time, a committed) {
	if a.err != nil {
		s.lose(t, a.err)
		return
	}
	s.mu.Lock()
	if t.over {
		s.mu.Unlock()
		return
	}
	t.answered(sent, s.config.Lease)
	news := a.revision != t.revision
	if a.lost {
		s.config.Logger.Warn("the stream has lost what was not delivered, catching up from the log", "lane", t.String(), "group", s.group)
		t.truncated(a.first)
	}
	if t.draining && t.quiet() {
		s.rules.wake()
	}
	s.mu.Unlock()
	s.dispatch()
	if !news {
		return
	}
	if err := s.reload(ctx, t); err != nil {
		s.config.Logger.Debug("news of a lane not read, trying again", "lane", t.String(), "group", s.group, "error", err)
		return
	}
	s.mu.Lock()
	t.revision = a.revision
	s.mu.Unlock()
}

// lose ends a term that is another's by now, or whose past Redis has lost, and the subscription if nothing can be delivered any more.
func (s *subscription) lose(t *term, err error) {
	s.mu.Lock()
	if t.over { // who reads found out before who takes down, or the other way round
		s.mu.Unlock()
		return
	}
	t.close()
	for _, l := range s.lanes {
		if l.term == t {
			l.term, l.lost = nil, errors.Is(err, errLostCommits)
		}
	}
	for chat, l := range t.lines {
		if l.flying {
			t.earlier[chat]++
		}
	}
	if t.others.flying && !s.config.Unordered {
		t.earlier[""]++
	}
	s.mu.Unlock()
	s.recall()
	s.rules.wake()
	switch {
	case errors.Is(err, ErrFenced), errors.Is(err, errLostCommits):
		s.store.drop(t.lane.Stream)
		s.counters.Fenced.Add(1)
		s.config.Logger.Warn("lane lost", "lane", t.String(), "group", s.group, "error", err)
	default:
		s.fail(err)
	}
}

// reload takes what others have changed: dead letters that are to be given again, chats that flow again.
func (s *subscription) reload(ctx context.Context, t *term) error {
	walk, left, again, err := s.store.look(ctx, t.lane)
	if err != nil {
		return err
	}
	s.mu.Lock()
	var resumed []string
	for chat, l := range t.lines {
		if l.mode == parked && left[chat] != leftParked && l.mark == leftParked {
			resumed = append(resumed, chat)
		}
	}
	var letters []string
	for id := range again {
		if _, known := t.again[id]; !known {
			letters = append(letters, id)
		}
	}
	s.mu.Unlock()
	var checkpoints []domain.Seq
	if len(resumed) > 0 {
		if checkpoints, err = s.store.checkpoints(ctx, t.lane, resumed); err != nil {
			return err
		}
	}
	found, err := s.store.letters(ctx, t.lane, letters)
	if err != nil {
		return err
	}
	chats := make([]string, len(found))
	for i, d := range found {
		chats[i] = d.Chat
	}
	var places []domain.Seq
	if len(chats) > 0 {
		if places, err = s.store.checkpoints(ctx, t.lane, chats); err != nil {
			return err
		}
	}
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.over {
		return nil
	}
	for chat, as := range t.left {
		if as == leftParked && left[chat] == leftBehind {
			t.left[chat] = leftBehind
			t.names = append(t.names, chat)
		}
	}
	for i, chat := range resumed {
		if l := t.lines[chat]; l != nil {
			t.resume(l, checkpoints[i])
		}
	}
	for i, d := range found {
		s.giveAgain(t, d, places[i])
	}
	if walk && !t.walking {
		t.walk()
	}
	t.more.wake()
	return nil
}

// giveAgain puts a dead letter before what its chat has not begun. The chat has left it behind: it comes out of order.
func (s *subscription) giveAgain(t *term, d storedLetter, checkpoint domain.Seq) {
	t.again[d.id] = struct{}{}
	l := t.others
	if d.Chat != "" {
		l = t.open(d.Chat, checkpoint)
	}
	l.pushBehindHead(&parcel{uuid: d.UUID, metadata: d.Metadata, payload: d.Payload, seq: d.Seq, letter: d.id, again: true})
	t.show(l)
}
