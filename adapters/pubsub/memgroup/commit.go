package memgroup

import (
	"context"
	"slices"
	"strconv"
	"time"

	"chatcore/ports/groups"
)

// Commit implements [groups.Store].
func (s *store) Commit(ctx context.Context, changes []groups.OwnedCommit, lease time.Duration) []groups.CommitResult {
	results := make([]groups.CommitResult, len(changes))
	if err := s.begin(ctx); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	defer s.moved()
	defer s.mu.Unlock()
	for i, c := range changes {
		p := s.partition(c.Partition)
		if state := p.groups[s.group]; state != nil {
			results[i] = state.accept(p, c, s.now(), lease)
		} else {
			results[i].Err = s.deleted()
		}
	}
	return results
}

// accept makes a change unless it was made before or must not be made.
func (s *groupState) accept(p *partition, c groups.OwnedCommit, now time.Time, lease time.Duration) (r groups.CommitResult) {
	switch {
	case c.Epoch != s.epoch:
		return groups.CommitResult{Err: groups.ErrFenced}
	case c.Number == s.commit: // its answer was lost
	case c.Number != s.commit+1, s.lostEntry(p, c.Seen):
		return groups.CommitResult{Err: groups.ErrLostWrites}
	default:
		r.Written = s.apply(p, c.Commit, now)
	}
	s.until = now.Add(lease)
	r.Revision, r.Lost, r.First, r.DeadLetters = strconv.FormatUint(s.revision, 10), s.lost, s.first, len(s.letters)
	return r
}

// lostEntry reports whether the stream has lost an entry that was read. An entry that is gone with all before it was trimmed, unless the group has
// never had a position.
func (s *groupState) lostEntry(p *partition, seen []groups.StreamID) bool {
	neverTrimmed := s.position.IsZero() && !s.walk.Active
	return p.Logged() && slices.ContainsFunc(seen, func(id groups.StreamID) bool {
		return !p.stream.has(id) && (neverTrimmed || !p.stream.trimmed(id))
	})
}

// apply makes a change. It returns the number of dead letters of unreadable entries that it added.
func (s *groupState) apply(p *partition, c *groups.Commit, now time.Time) (written int) {
	s.commit = c.Number
	s.move(p, c)
	for _, checkpoint := range c.Checkpoints {
		s.checkpoints[checkpoint.Chat] = checkpoint.Seq
	}
	for _, l := range c.Left {
		if l.State == groups.Streamed {
			delete(s.left, l.Chat)
		} else {
			s.left[l.Chat] = l.State
		}
	}
	for _, f := range c.Failing {
		if f.Progress.IsZero() {
			delete(s.failing, f.Chat)
		} else {
			s.failing[f.Chat] = cloneProgress(f.Progress)
		}
	}
	for _, id := range c.Resolved {
		s.removeLetter(id)
	}
	for _, l := range c.Letters {
		if s.write(p, l, now) {
			written++
		}
	}
	return written
}

// move changes the position and the progress of the check of every chat. Trimming keeps the entry at a position. If it is gone, entries after it may be
// gone too: the position becomes the first entry, whose chat is checked with all others.
func (s *groupState) move(p *partition, c *groups.Commit) {
	s.lost = p.Logged() && (p.stream.trimmed(s.position) || p.stream.trimmed(c.Position))
	s.first = groups.StreamID{}
	switch {
	case s.lost && (c.Position.IsZero() || p.stream.trimmed(c.Position)):
		s.position = p.stream.first()
	case !c.Position.IsZero():
		s.position = c.Position
	}
	if s.lost {
		s.first = p.stream.first()
	}
	switch {
	case c.Walk.Changed && c.Walk.Active:
		s.walk = groups.Walk{Active: true, Checked: c.Walk.Checked, Total: c.Walk.Total}
	case s.lost:
		s.walk = groups.Walk{Active: true}
	case c.Walk.Changed:
		s.walk = groups.Walk{}
	}
}

// write adds a dead letter, or marks the one whose retry has failed. It reports whether it added one of an unreadable entry.
func (s *groupState) write(p *partition, l groups.Letter, now time.Time) bool {
	if l.Of != "" {
		if s.letterNamed(l.Of) != nil {
			l.Mark.At = now
			s.retries[l.Of] = l.Mark
			return false
		}
		if !l.InOrder {
			return false
		}
	}
	if l.Entry.IsZero() {
		s.addLetter(l, now)
		return false
	}
	if slices.Contains(p.shared, l.Entry) {
		return false
	}
	s.addLetter(l, now)
	p.shared = append(p.shared, l.Entry)
	p.shared = p.shared[max(len(p.shared)-sharedLetters, 0):]
	return true
}
