package memgroup

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// store is the store of one group. Groups.mu guards closed.
type store struct {
	*Groups
	group  string
	closed bool
}

var _ groups.Store = (*store)(nil)

// deleted returns the error of a call about a group that does not exist any more.
func (s *store) deleted() error { return fmt.Errorf("%w: %q", groups.ErrGroupDeleted, s.group) }

// Create implements [groups.Store].
func (s *store) Create(ctx context.Context, p groups.Partition, at groups.Start) (fresh bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	part := s.partition(p)
	s.membershipOf(s.group).starting = true
	state := part.groups[s.group]
	if state == nil {
		state = newGroupState()
		state.seeding = part.Logged() && !at.Beginning
		state.walk.Active = part.Logged() && (at.Beginning || !at.At.IsZero())
		state.position = part.stream.start(at)
		part.groups[s.group] = state
	}
	return state.seeding, nil
}

// start returns the position of a new group.
func (s *stream) start(at groups.Start) groups.StreamID {
	switch {
	case at.Beginning:
		return groups.StreamID{}
	case at.At.IsZero():
		return s.last()
	}
	i, _ := s.index(groups.StreamID{Milliseconds: uint64(max(at.At.UnixMilli(), 0))}) //nolint:gosec // not negative
	if i == 0 {
		return groups.StreamID{}
	}
	return s.entries[i-1].ID
}

// Seed implements [groups.Store].
func (s *store) Seed(ctx context.Context, p groups.Partition, checkpoints []groups.Checkpoint, last bool) (more bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	state := s.partition(p).groups[s.group]
	if state == nil || !state.seeding {
		return false, nil
	}
	for _, c := range checkpoints {
		if _, known := state.checkpoints[c.Chat]; !known {
			state.checkpoints[c.Chat] = c.Seq
		}
	}
	state.seeding = !last
	return !last, nil
}

// Acquire implements [groups.Store].
func (s *store) Acquire(ctx context.Context, partitions []groups.Partition, lost []bool, by groups.Applicant) ([]*groups.Lease, []error) {
	leases, errs := make([]*groups.Lease, len(partitions)), make([]error, len(partitions))
	if err := s.begin(ctx); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return leases, errs
	}
	defer s.mu.Unlock()
	for i, p := range partitions {
		part := s.partition(p)
		if state := part.groups[s.group]; state != nil {
			leases[i] = state.acquire(part, lost[i], by, s.now())
		} else {
			errs[i] = s.deleted()
		}
	}
	return leases, errs
}

// acquire acquires the partition, unless another member owns it. A lease that ends too far away, because the clock was set back, is cut to the length
// that its owner has asked for: an owner that lives renews it long before that.
func (s *groupState) acquire(p *partition, lost bool, by groups.Applicant, now time.Time) *groups.Lease {
	if s.seeding {
		return nil
	}
	if s.owner != by.Member && s.until.After(now) {
		if most := now.Add(s.lease); s.until.After(most) {
			s.until = most
		}
		return nil
	}
	s.checkPosition(p, lost)
	before := s.epoch
	s.epoch = max(before+1, p.epoch+1, uint64(max(now.UnixMilli(), 0))) // a time, so that it grows even after a loss
	if s.owner != "" && s.owner != by.Member {
		s.overlap = max(s.overlap, s.lease)
	}
	s.owner, s.until, s.lease, s.bound, s.commit = by.Member, now.Add(by.Lease), by.Lease, by.DeadLetterBound, 0
	return &groups.Lease{
		Epoch: s.epoch, Position: s.position, End: p.stream.last(), Walk: s.walk.Active, Revision: strconv.FormatUint(s.revision, 10), HadOwner: before > 0,
		Overlap: s.overlap, Left: maps.Clone(s.left), Failing: s.progress(), Retries: maps.Clone(s.retries), DeadLetters: len(s.letters),
	}
}

// checkPosition has every chat checked if the entry at the position is gone, because entries after it may be gone too, or if lost is set. If older
// entries are not gone, the entry was lost, and the position becomes the entry before it.
func (s *groupState) checkPosition(p *partition, lost bool) {
	if !p.Logged() {
		return
	}
	before, found := p.stream.index(s.position)
	gone := before == 0 && !found
	if s.position.IsZero() && len(p.stream.entries) > 0 {
		gone = p.stream.added > len(p.stream.entries) // some entry was removed
	}
	switch {
	case gone:
		s.position = p.stream.first()
	case !found && before > 0:
		s.position, lost = p.stream.entries[before-1].ID, true
	}
	s.walk.Active = s.walk.Active || gone || lost
}

// Release implements [groups.Store].
func (s *store) Release(ctx context.Context, held []groups.Release) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, r := range held {
		if state := s.partition(r.Partition).groups[s.group]; state != nil && state.epoch == r.Epoch {
			state.owner, state.until, state.overlap = "", time.Time{}, r.Overlap
		}
	}
	return nil
}

// Checkpoints implements [groups.Store].
func (s *store) Checkpoints(ctx context.Context, p groups.Partition, chats []string) ([]domain.Seq, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	seqs := make([]domain.Seq, len(chats))
	if state := s.partition(p).groups[s.group]; state != nil {
		for i, chat := range chats {
			seqs[i] = state.checkpoints[chat]
		}
	}
	return seqs, nil
}

// Changes implements [groups.Store].
func (s *store) Changes(ctx context.Context, p groups.Partition) (groups.Changes, error) {
	if err := s.begin(ctx); err != nil {
		return groups.Changes{}, err
	}
	defer s.mu.Unlock()
	state := s.partition(p).groups[s.group]
	if state == nil {
		return groups.Changes{}, nil
	}
	return groups.Changes{Walk: state.walk.Active, Left: maps.Clone(state.left), Retries: maps.Clone(state.retries)}, nil
}

// Letters implements [groups.Store].
func (s *store) Letters(ctx context.Context, p groups.Partition, ids []string) (found []groups.StoredLetter, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	state := s.partition(p).groups[s.group]
	if state == nil {
		return nil, nil
	}
	for _, id := range ids {
		if l := state.letterNamed(id); l != nil {
			found = append(found, groups.StoredLetter{Letter: l.Letter, ID: id})
		}
	}
	return found, nil
}

// Close implements [groups.Store].
func (s *store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
	return nil
}
