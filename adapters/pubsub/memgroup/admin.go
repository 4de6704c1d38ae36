package memgroup

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"chatcore/domain"
)

// List returns the state of every group, sorted by name.
func (m *Memory) List(context.Context) ([]GroupState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []GroupState
	for name, g := range m.groups {
		s := PartitionState{
			Stream: memoryPartition, Epoch: g.epoch, Position: g.position.String(), Lag: m.log.End() - g.position.n, Failing: len(g.failing),
			Letters: len(g.letters), LettersFull: g.bound > 0 && len(g.letters) >= g.bound, CatchesUp: g.walk != "",
		}
		members := 0
		s.Blocked, s.Longest = blockedChats(g.failing)
		if g.running {
			s.Owner, members = g.owner, 1
		}
		for _, as := range g.left {
			if as == leftParked {
				s.Parked++
			} else {
				s.Behind++
			}
		}
		list = append(list, GroupState{Group: name, Members: members, Partitions: []PartitionState{s}})
	}
	slices.SortFunc(list, func(a, b GroupState) int { return cmp.Compare(a.Group, b.Group) })
	return list, nil
}

// Owned returns the state of a subscriber's group, as [Groups.Owned] does.
func (m *Memory) Owned(ctx context.Context, s *Subscriber) (GroupState, error) {
	if len(s.owned()) == 0 {
		return GroupState{Group: s.config.Group}, nil
	}
	all, err := m.List(ctx)
	for _, state := range all {
		if state.Group == s.config.Group {
			return state, err
		}
	}
	return GroupState{Group: s.config.Group}, err
}

// with calls do with a group, with the mutex held. It returns [ErrGroupNotFound] if the group does not exist.
func (m *Memory) with(group string, do func(g *memoryGroup) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[group]
	if g == nil {
		return fmt.Errorf("%w: %q", ErrGroupNotFound, group)
	}
	return do(g)
}

// Delete removes a group with its dead letters.
func (m *Memory) Delete(_ context.Context, group string) error {
	return m.with(group, func(*memoryGroup) error {
		delete(m.groups, group)
		return nil
	})
}

// Rebuild restarts a group with the first event of every chat and deletes its dead letters.
func (m *Memory) Rebuild(_ context.Context, group string) error {
	return m.with(group, func(g *memoryGroup) error {
		clear(g.chats)
		clear(g.left)
		clear(g.failing)
		clear(g.again)
		g.letters, g.walk = nil, "0"
		g.epoch++
		return nil
	})
}

// DeadLetters yields a group's dead letters in the order in which they were added.
func (m *Memory) DeadLetters(ctx context.Context, group string) iter.Seq2[DeadLetter, error] {
	return m.DeadLettersAfter(ctx, group, "")
}

// DeadLettersAfter yields the dead letters that were added after the one of an id, as [Groups.DeadLettersAfter] does.
func (m *Memory) DeadLettersAfter(_ context.Context, group, id string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		after := 0
		if id != "" {
			number, err := letterNumber(id)
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			after = number
		}
		var letters []DeadLetter
		err := m.with(group, func(g *memoryGroup) error {
			for _, d := range g.letters[firstAfter(g.letters, after):] {
				if mark := g.again[d.ID]; mark != "" {
					m := parseRetryMark(mark)
					m.at = time.Time{} // the letter has it
					m.apply(&d)
				}
				letters = append(letters, d)
			}
			return nil
		})
		if err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for _, d := range letters {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// firstAfter returns the index of the first letter with a number above the given one. Letters are in the order of their numbers.
func firstAfter(letters []DeadLetter, number int) int {
	i, _ := slices.BinarySearchFunc(letters, number, func(d DeadLetter, number int) int {
		if n, _ := letterNumber(d.ID); n > number {
			return 1
		}
		return -1
	})
	return i
}

// letterNumber returns the number of a dead letter, from 1, that an id names.
func letterNumber(id string) (int, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 {
		return 0, &domain.InvalidError{Field: "letter", Problem: fmt.Sprintf("is %q", id), Allowed: "an id as the list of dead letters gives it, such as 3"}
	}
	return n, nil
}

// DeadLetter returns one dead letter. It returns [ErrDeadLetterNotFound] if the group has none with that id.
func (m *Memory) DeadLetter(ctx context.Context, group, id string) (DeadLetter, error) {
	if _, err := letterNumber(id); err != nil {
		return DeadLetter{}, err
	}
	for d, err := range m.DeadLetters(ctx, group) {
		if err != nil || d.ID == id {
			return d, err
		}
	}
	return DeadLetter{}, noLetter(group, id)
}

func noLetter(group, id string) error {
	return fmt.Errorf("%w: %s of %q", ErrDeadLetterNotFound, id, group)
}

// Retry redelivers a dead letter, as [Groups.Retry] does.
func (m *Memory) Retry(_ context.Context, group, id string) error {
	return m.decide(group, id, func(g *memoryGroup, _ DeadLetter) {
		if g.again[id] == "" {
			g.again[id] = strconv.Itoa(retryOutOfOrder)
		}
	}, false)
}

// Drop removes a dead letter, as [Groups.Drop] does.
func (m *Memory) Drop(_ context.Context, group, id string) error {
	return m.decide(group, id, func(g *memoryGroup, d DeadLetter) {
		delete(g.again, id)
		g.letters = slices.DeleteFunc(g.letters, func(other DeadLetter) bool { return other.ID == d.ID })
	}, true)
}

// decide applies a decision about a dead letter. A chat that is parked for it resumes. If no chat is, decide calls otherwise.
func (m *Memory) decide(group, id string, otherwise func(g *memoryGroup, d DeadLetter), drop bool) error {
	if _, err := letterNumber(id); err != nil {
		return err
	}
	return m.with(group, func(g *memoryGroup) error {
		i := slices.IndexFunc(g.letters, func(d DeadLetter) bool { return d.ID == id })
		if i < 0 {
			return noLetter(group, id)
		}
		d := g.letters[i]
		g.revision++
		chat := string(d.Chat)
		if !d.Parked || g.left[chat] != leftParked {
			otherwise(g, d)
			return nil
		}
		delete(g.failing, chat)
		g.left[chat] = chatBehind
		if drop {
			g.chats[chat] = d.Seq
			g.letters = slices.Delete(g.letters, i, i+1)
			return nil
		}
		g.again[id] = retryMark{state: retryInOrder, attempts: d.Attempts, parked: true, seq: d.Seq, chat: chat}.String()
		return nil
	})
}
