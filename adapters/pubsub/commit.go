package pubsub

import (
	"context"
	"errors"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// commitLoop commits the finished deliveries of all partitions in one round trip, which also renews the leases.
func (s *member) commitLoop(ctx context.Context) {
	const gather = 5 * time.Millisecond // deliveries that finish within it share a commit
	const many = 256                    // finished deliveries; with so many, commitLoop does not wait for more
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
			few := s.ackedCount < many
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

// commitOnce commits the changes of all partitions that have any or whose lease is to be renewed. It reports false if Redis did not answer.
func (s *member) commitOnce(ctx context.Context, renewal time.Duration) bool {
	var terms []*ownedPartition
	var partitions []Partition
	var epochs []uint64
	var changes []*commit
	s.mu.Lock()
	now := time.Now()
	for _, l := range s.partitions {
		t := l.owned
		if t == nil {
			continue
		}
		if t.pending == nil && t.build(now, renewal) == nil {
			continue
		}
		terms, partitions, epochs, changes = append(terms, t), append(partitions, t.partition), append(epochs, t.epoch), append(changes, t.pending)
	}
	s.ackedCount = 0
	s.mu.Unlock()
	if len(terms) == 0 {
		return true
	}
	answers := s.store.commit(ctx, partitions, epochs, changes, s.config.Lease)
	reached := true
	for i, a := range answers {
		if errors.Is(a.err, ports.ErrUnavailable) {
			s.config.Logger.Debug("commit not made, trying again", "partition", terms[i].String(), "group", s.group, "error", a.err)
			reached = false
			continue
		}
		s.applyResult(ctx, terms[i], now, a)
	}
	return reached
}

// applyResult applies the reply to a lease's commit.
func (s *member) applyResult(ctx context.Context, t *ownedPartition, sent time.Time, a commitResult) {
	if a.err != nil {
		s.lose(t, a.err)
		return
	}
	s.mu.Lock()
	if t.over {
		s.mu.Unlock()
		return
	}
	t.deadLetterCount = a.deadLetters
	s.counters.DeadLetters.Add(uint64(a.written)) //nolint:gosec // a count
	t.answered(sent, s.config.Lease)
	news := a.revision != t.revision
	if a.lost {
		s.config.Logger.Warn("the stream has lost undelivered entries, catching up from the log", "partition", t.String(), "group", s.group)
		t.truncated(a.first)
	}
	if t.draining && t.quiet() {
		s.assignments.wake()
	}
	s.mu.Unlock()
	s.dispatch()
	if !news {
		return
	}
	if err := s.reload(ctx, t); err != nil {
		s.config.Logger.Debug("changes of a partition not read, trying again", "partition", t.String(), "group", s.group, "error", err)
		return
	}
	s.mu.Lock()
	t.revision = a.revision
	s.mu.Unlock()
}

// lose ends a lease whose partition another member owns by now, or whose past Redis has lost. It ends the member if nothing can be delivered any
// more.
func (s *member) lose(t *ownedPartition, err error) {
	s.mu.Lock()
	if t.over { // fetch and commit may both find out
		s.mu.Unlock()
		return
	}
	t.close()
	for _, l := range s.partitions {
		if l.owned == t {
			l.owned, l.lost = nil, errors.Is(err, errLostCommits)
		}
	}
	for chat, l := range t.queues {
		if l.inFlight {
			t.earlier[chat]++
		} else {
			s.unreserve(l)
		}
	}
	if t.others.inFlight && !s.config.Unordered {
		t.earlier[""]++
	}
	s.mu.Unlock()
	s.reclaimUndispatched()
	s.assignments.wake()
	switch {
	case errors.Is(err, ErrFenced), errors.Is(err, errLostCommits):
		s.store.drop(t.partition.Stream)
		s.counters.Fenced.Add(1)
		s.config.Logger.Warn("partition lost", "partition", t.String(), "group", s.group, "error", err)
	default:
		s.fail(err)
	}
}

// reload loads the changes that others made: dead letters to be redelivered, chats that are no longer parked, and a walk over all chats.
func (s *member) reload(ctx context.Context, t *ownedPartition) error {
	walk, left, again, err := s.store.look(ctx, t.partition)
	if err != nil {
		return err
	}
	s.mu.Lock()
	var resumed []string
	for chat, l := range t.queues {
		if l.mode == parked && left[chat] != leftParked && l.savedState == leftParked {
			resumed = append(resumed, chat)
		}
	}
	var letters []string
	for _, id := range t.retries(again) {
		if _, known := t.redeliveries[id]; !known {
			letters = append(letters, id)
		}
	}
	s.mu.Unlock()
	var checkpoints []domain.Seq
	if len(resumed) > 0 {
		if checkpoints, err = s.store.checkpoints(ctx, t.partition, resumed); err != nil {
			return err
		}
	}
	found, err := s.store.letters(ctx, t.partition, letters)
	if err != nil {
		return err
	}
	chats := make([]string, len(found))
	for i, d := range found {
		chats[i] = d.Chat
	}
	var places []domain.Seq
	if len(chats) > 0 {
		if places, err = s.store.checkpoints(ctx, t.partition, chats); err != nil {
			return err
		}
	}
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.over {
		return nil
	}
	for chat, as := range t.lagging {
		if as == leftParked && left[chat] == chatBehind {
			t.lagging[chat] = chatBehind
			t.names = append(t.names, chat)
		}
	}
	for i, chat := range resumed {
		if l := t.queues[chat]; l != nil {
			t.resume(l, checkpoints[i])
		}
	}
	for i, d := range found {
		s.redeliver(t, d, places[i], parseRetryMark(again[d.id]))
	}
	if walk && !t.walking {
		t.walk()
	}
	t.more.wake()
	return nil
}

// redeliver queues a retried dead letter before the chat's records that no handler has started. The chat has passed the event, so the delivery is out
// of order.
func (s *member) redeliver(t *ownedPartition, d storedLetter, checkpoint domain.Seq, m retryMark) {
	t.redeliveries[d.id] = struct{}{}
	l := t.others
	if d.Chat != "" {
		l = t.open(d.Chat, checkpoint)
	}
	l.pushBehindHead(&record{uuid: d.UUID, metadata: d.Metadata, payload: d.Payload, seq: d.Seq, letter: d.id, redelivered: true, earlier: max(d.Attempts, m.attempts)})
	t.show(l)
}
