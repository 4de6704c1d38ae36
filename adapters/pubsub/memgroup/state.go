package memgroup

import (
	"maps"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// sharedLetters is the number of unreadable entries of a stream that are remembered as dead letters of some group.
const sharedLetters = 10_000

// groupState is the state of a group on a partition.
type groupState struct {
	seeding  bool // the first checkpoints are still to be written
	owner    string
	epoch    uint64 // of the last owner
	until    time.Time
	lease    time.Duration // that the last owner has asked for
	overlap  time.Duration // for which an owner before the last one may still start handlers
	bound    int           // of dead letters
	commit   uint64        // number of the last owner's last commit
	lost     bool          // the answer to that commit: see [groups.CommitResult]
	first    groups.StreamID
	position groups.StreamID
	walk     groups.Walk
	revision uint64

	checkpoints map[string]domain.Seq
	left        map[string]groups.ChatState
	failing     map[string]groups.Progress
	letters     []letter // in the order of their ids
	numbered    groups.StreamID
	retries     map[string]groups.RetryMark // by id of the letter
}

// letter is a dead letter and its id.
type letter struct {
	id groups.StreamID
	groups.Letter
}

func newGroupState() *groupState {
	return &groupState{
		checkpoints: make(map[string]domain.Seq), left: make(map[string]groups.ChatState), failing: make(map[string]groups.Progress),
		retries: make(map[string]groups.RetryMark),
	}
}

// idle reports whether every event is finished, apart from chats that wait for a decision.
func (s *groupState) idle(entries *stream) bool {
	for _, as := range s.left {
		if as == groups.Behind {
			return false
		}
	}
	for _, mark := range s.retries {
		if mark.State != groups.RetryFailed {
			return false
		}
	}
	return !s.walk.Active && len(entries.after(s.position)) == 0
}

// addLetter adds a dead letter, whose id is of the given time or of the last letter's if that is later.
func (s *groupState) addLetter(l groups.Letter, at time.Time) {
	id := groups.StreamID{Milliseconds: uint64(max(at.UnixMilli(), 0))} //nolint:gosec // not negative
	if id.Compare(s.numbered) <= 0 {
		id = groups.StreamID{Milliseconds: s.numbered.Milliseconds, Number: s.numbered.Number + 1}
	}
	s.numbered = id
	l.Of, l.InOrder, l.Mark = "", false, groups.RetryMark{} // they belong to the commit
	s.letters = append(s.letters, letter{id, l})
}

// letter returns the index of a dead letter, and whether the group has it.
func (s *groupState) letter(id groups.StreamID) (int, bool) {
	return slices.BinarySearchFunc(s.letters, id, func(l letter, id groups.StreamID) int { return l.id.Compare(id) })
}

// letterNamed returns a dead letter by its id, nil if the group has none with it.
func (s *groupState) letterNamed(id string) *letter {
	parsed, err := groups.ParseStreamID(id)
	if err != nil {
		return nil
	}
	i, found := s.letter(parsed)
	if !found {
		return nil
	}
	return &s.letters[i]
}

// removeLetter removes a dead letter and its retries.
func (s *groupState) removeLetter(id string) {
	delete(s.retries, id)
	s.letters = slices.DeleteFunc(s.letters, func(l letter) bool { return l.id.String() == id })
}

// progress returns a copy of the chats' progress, which shares nothing with it.
func (s *groupState) progress() map[string]groups.Progress {
	all := make(map[string]groups.Progress, len(s.failing))
	for chat, p := range s.failing {
		all[chat] = cloneProgress(p)
	}
	return all
}

func cloneProgress(p groups.Progress) groups.Progress {
	p.Done, p.Others = slices.Clone(p.Done), slices.Clone(p.Others)
	return p
}

// clone returns a copy that shares nothing that changes.
func (s *groupState) clone() *groupState {
	c := *s
	c.checkpoints, c.left, c.failing, c.retries = maps.Clone(s.checkpoints), maps.Clone(s.left), s.progress(), maps.Clone(s.retries)
	c.letters = slices.Clone(s.letters)
	return &c
}
