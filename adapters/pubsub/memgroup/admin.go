package memgroup

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// beginWith begins a call about a group that exists. It returns an error, with the mutex not locked, if the group does not.
func (g *Groups) beginWith(ctx context.Context, group string) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	if !g.exists(group) {
		g.mu.Unlock()
		return fmt.Errorf("%w: %q", groups.ErrGroupNotFound, group)
	}
	return nil
}

// Exists implements [groups.Admin].
func (g *Groups) Exists(ctx context.Context, group string) (bool, error) {
	if err := g.begin(ctx); err != nil {
		return false, err
	}
	defer g.mu.Unlock()
	return g.exists(group), nil
}

// Delete implements [groups.Admin].
func (g *Groups) Delete(ctx context.Context, group string) error {
	if err := g.beginWith(ctx, group); err != nil {
		return err
	}
	defer g.mu.Unlock()
	for _, p := range g.partitions {
		delete(p.groups, group)
	}
	delete(g.members, group)
	return nil
}

// Rebuild implements [groups.Admin]. The name of a partition's owner stays until another member acquires the partition: it may still start handlers.
func (g *Groups) Rebuild(ctx context.Context, group string) error {
	if err := g.beginWith(ctx, group); err != nil {
		return err
	}
	defer g.mu.Unlock()
	for _, p := range g.partitions {
		s := p.groups[group]
		if s == nil || !p.Logged() {
			continue
		}
		clear(s.checkpoints)
		clear(s.left)
		clear(s.failing)
		clear(s.retries)
		s.letters, s.walk, s.seeding, s.until = nil, groups.Walk{Active: true}, false, time.Time{}
		s.epoch = max(s.epoch, p.epoch) + 1
	}
	return nil
}

// DeadLettersAfter implements [groups.Admin]. It yields the letters of each partition as of when it begins with the partition.
func (g *Groups) DeadLettersAfter(ctx context.Context, group, id string) iter.Seq2[groups.DeadLetter, error] {
	return func(yield func(groups.DeadLetter, error) bool) {
		from, after := 0, groups.StreamID{}
		if id != "" {
			var err error
			if from, after, err = g.place(id); err != nil {
				yield(groups.DeadLetter{}, err)
				return
			}
		}
		for i := from; ; i++ {
			letters, more, err := g.lettersAfter(ctx, group, i, after)
			if err != nil {
				yield(groups.DeadLetter{}, err)
				return
			}
			for _, d := range letters {
				if !yield(d, nil) {
					return
				}
			}
			if !more {
				return
			}
			after = groups.StreamID{}
		}
	}
}

// lettersAfter returns the dead letters of a partition after an id, and whether there are more partitions.
func (g *Groups) lettersAfter(ctx context.Context, group string, partition int, after groups.StreamID) (all []groups.DeadLetter, more bool, err error) {
	if err := g.beginWith(ctx, group); err != nil {
		return nil, false, err
	}
	defer g.mu.Unlock()
	if s := g.partitions[partition].groups[group]; s != nil {
		i, found := s.letter(after)
		if found {
			i++
		}
		for _, l := range s.letters[i:] {
			all = append(all, s.deadLetter(group, partition, &l))
		}
	}
	return all, partition+1 < len(g.partitions), nil
}

// deadLetter returns a letter with its retries.
func (s *groupState) deadLetter(group string, partition int, l *letter) groups.DeadLetter {
	metadata, _ := wireformat.ParseMetadata(l.Metadata) // what cannot be read is left out
	d := groups.DeadLetter{
		ID: strconv.Itoa(partition) + "/" + l.id.String(), Group: group, Reason: l.Reason, First: l.Reason, Attempts: l.Attempts,
		At: time.UnixMilli(int64(l.id.Milliseconds)).UTC(), Parked: l.Parked, Chat: domain.ChatID(l.Chat), Seq: l.Seq, //nolint:gosec // a time
		EventID: domain.EventID(l.UUID), Metadata: metadata, Payload: l.Payload,
	}
	if !l.Entry.IsZero() {
		d.Entry = l.Entry.String()
	}
	if mark, retried := s.retries[l.id.String()]; retried {
		mark.Apply(&d)
	}
	return d
}

// place returns the index of the partition and the letter that an id names.
func (g *Groups) place(id string) (int, groups.StreamID, error) {
	first, rest, _ := strings.Cut(id, "/")
	partition, err := strconv.Atoi(first)
	named, parseErr := groups.ParseStreamID(rest)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || parseErr != nil || partition < 0 || partition >= len(g.partitions) {
		return 0, named, &domain.InvalidError{Field: "letter", Problem: fmt.Sprintf("is %q", id), Allowed: "an id as the list of dead letters gives it, such as 0/1764057600000-0"}
	}
	return partition, named, nil
}

func noLetter(group, id string) error {
	return fmt.Errorf("%w: %s of %q", groups.ErrDeadLetterNotFound, id, group)
}

// beginAt begins a call about a dead letter. It returns an error, with the mutex not locked, if the letter does not exist.
func (g *Groups) beginAt(ctx context.Context, group, id string) (partition int, s *groupState, l *letter, err error) {
	partition, named, err := g.place(id)
	if err != nil {
		return 0, nil, nil, err
	}
	if err := g.beginWith(ctx, group); err != nil {
		return 0, nil, nil, err
	}
	if s = g.partitions[partition].groups[group]; s != nil {
		if i, found := s.letter(named); found {
			return partition, s, &s.letters[i], nil
		}
	}
	g.mu.Unlock()
	return 0, nil, nil, noLetter(group, id)
}

// DeadLetter implements [groups.Admin].
func (g *Groups) DeadLetter(ctx context.Context, group, id string) (groups.DeadLetter, error) {
	partition, s, l, err := g.beginAt(ctx, group, id)
	if err != nil {
		return groups.DeadLetter{}, err
	}
	defer g.mu.Unlock()
	return s.deadLetter(group, partition, l), nil
}

// Retry implements [groups.Admin]. An unreadable entry of another program is added to the stream again, for all groups. Retry returns
// [domain.ErrInvalid] if not all of such an entry was kept.
func (g *Groups) Retry(ctx context.Context, group, id string) error {
	partition, s, l, err := g.beginAt(ctx, group, id)
	if err != nil {
		return err
	}
	defer g.mu.Unlock()
	name := l.id.String()
	mark, retried := s.retries[name]
	s.revision++
	switch {
	case s.parkedFor(l):
		if !retried || mark == (groups.RetryMark{State: groups.RetryOutOfOrder}) {
			mark = groups.RetryMark{Attempts: l.Attempts, Parked: true, Seq: l.Seq, Chat: l.Chat}
		}
		mark.State = groups.RetryInOrder
		s.retries[name] = mark
		s.resume(l)
	case !l.Entry.IsZero():
		return g.addAgain(partition, s, l, id)
	case mark.State != groups.RetryInOrder:
		mark.State = groups.RetryOutOfOrder
		s.retries[name] = mark
	}
	return nil
}

// addAgain adds the entry of a letter to the stream again, and removes the letter.
func (g *Groups) addAgain(partition int, s *groupState, l *letter, id string) error {
	if l.Cut || l.UUID == "" && l.Metadata == "" && len(l.Payload) == 0 {
		return &domain.InvalidError{Field: "letter", Problem: id + " has no whole entry: it was too large to be kept, or had no field that is known", Allowed: "to drop it"}
	}
	g.partitions[partition].stream.add(groups.Entry{UUID: l.UUID, Metadata: l.Metadata, Payload: slices.Clone(l.Payload)}, g.now())
	s.removeLetter(l.id.String())
	g.wake()
	return nil
}

// Drop implements [groups.Admin].
func (g *Groups) Drop(ctx context.Context, group, id string) error {
	_, s, l, err := g.beginAt(ctx, group, id)
	if err != nil {
		return err
	}
	defer g.mu.Unlock()
	s.revision++
	if s.parkedFor(l) {
		s.checkpoints[l.Chat] = l.Seq
		s.resume(l)
	}
	s.removeLetter(l.id.String())
	return nil
}

// parkedFor reports whether the chat of a letter waits for a decision about it.
func (s *groupState) parkedFor(l *letter) bool {
	parked := l.Parked
	if mark, retried := s.retries[l.id.String()]; retried && mark != (groups.RetryMark{State: groups.RetryOutOfOrder}) {
		parked = mark.Parked
	}
	return parked && s.left[l.Chat] == groups.Parked
}

// resume lets a letter's chat catch up from the log.
func (s *groupState) resume(l *letter) {
	s.left[l.Chat] = groups.Behind
	delete(s.failing, l.Chat)
}
