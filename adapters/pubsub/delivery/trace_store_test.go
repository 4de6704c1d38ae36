package delivery_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// traceStore is a partition of a log and of a group, as a store keeps it. It follows the scripts acquire.lua, commit.lua and resolve.lua.
type traceStore struct {
	groups.Partition
	events  map[string][]traceEvent // the log: of each chat, from its first event on
	stream  []traceEntry
	added   int             // entries so far
	removed bool            // there were others
	damaged map[string]bool // chats whose log cannot be read

	owner       string
	until       time.Time
	lease       time.Duration
	overlap     time.Duration
	epoch       uint64
	commit      uint64 // number of the owner's last commit
	answer      groups.CommitResult
	position    groups.StreamID
	walk        bool
	revision    int
	checkpoints map[string]domain.Seq
	left        map[string]groups.ChatState
	failing     map[string]groups.Progress
	letters     []groups.StoredLetter
	written     int // letters so far
	retries     map[string]groups.RetryMark
}

// traceEvent is an event, or an entry of another program, whose chat is "". A lost one has no uuid.
type traceEvent struct {
	uuid, chat, key string
	seq             domain.Seq
	broken          string
	half            bool
}

type traceEntry struct {
	id groups.StreamID
	traceEvent
}

func newTraceStore(p groups.Partition) *traceStore {
	return &traceStore{
		Partition: p, events: make(map[string][]traceEvent), damaged: make(map[string]bool), checkpoints: make(map[string]domain.Seq), left: make(map[string]groups.ChatState),
		failing: make(map[string]groups.Progress), retries: make(map[string]groups.RetryMark),
	}
}

func (s *traceStore) append(e traceEvent, log, stream bool) error {
	if log {
		if next := domain.Seq(len(s.events[e.chat]) + 1); e.seq != next {
			return fmt.Errorf("the next event of %s is %d", e.chat, next)
		}
		s.events[e.chat] = append(s.events[e.chat], e)
	}
	if stream {
		s.added++
		s.stream = append(s.stream, traceEntry{groups.StreamID{Milliseconds: uint64(s.added)}, e}) //nolint:gosec // a count
	}
	return nil
}

func (s *traceStore) first() (id groups.StreamID) {
	if len(s.stream) > 0 {
		id = s.stream[0].id
	}
	return id
}

func (s *traceStore) last() (id groups.StreamID) {
	if n := len(s.stream); n > 0 {
		id = s.stream[n-1].id
	}
	return id
}

func (s *traceStore) has(id groups.StreamID) bool {
	return slices.ContainsFunc(s.stream, func(e traceEntry) bool { return e.id == id })
}

// gone reports whether the entry of an id is before the first one.
func (s *traceStore) gone(id groups.StreamID) bool {
	return !id.IsZero() && (len(s.stream) == 0 || s.first().Compare(id) > 0)
}

// after returns the entries after an id, at most some. gap reports that the entry of the id does not exist.
func (s *traceStore) after(id groups.StreamID, most int) (entries []traceEntry, gap bool) {
	for _, e := range s.stream {
		if e.id.Compare(id) > 0 && len(entries) < most {
			entries = append(entries, e)
		}
	}
	return entries, !id.IsZero() && !s.has(id)
}

func (s *traceStore) acquire(member string, lost bool, lease time.Duration, now time.Time) *groups.Lease {
	if s.owner != "" && s.owner != member && now.Before(s.until) {
		return nil
	}
	gone := len(s.stream) == 0 || s.gone(s.position) || s.position.IsZero() && s.removed
	if s.Logged() && (gone || lost) {
		if gone {
			s.position = s.first()
		}
		s.walk = true
	}
	hadOwner := s.epoch > 0
	s.epoch++
	if s.owner != "" && s.owner != member {
		s.overlap = max(s.overlap, s.lease)
	}
	s.owner, s.until, s.lease, s.commit = member, now.Add(lease), lease, 0
	failing := make(map[string]groups.Progress)
	for chat, g := range s.failing {
		g.Done, g.Others = slices.Clone(g.Done), slices.Clone(g.Others)
		failing[chat] = g
	}
	return &groups.Lease{
		Epoch: s.epoch, Position: s.position, End: s.last(), Walk: s.walk, Revision: strconv.Itoa(s.revision), HadOwner: hadOwner, Overlap: s.overlap,
		Left: maps.Clone(s.left), Failing: failing, Retries: maps.Clone(s.retries), DeadLetters: len(s.letters),
	}
}

func (s *traceStore) release(r groups.Release) {
	if s.epoch == r.Epoch {
		s.owner, s.until, s.overlap = "", time.Time{}, r.Overlap
	}
}

// commitChanges makes a commit.
func (s *traceStore) commitChanges(c groups.OwnedCommit, lease time.Duration, now time.Time) groups.CommitResult {
	switch {
	case c.Epoch != s.epoch:
		return groups.CommitResult{Err: groups.ErrFenced}
	case c.Number == s.commit: // its answer was lost
		s.until = now.Add(lease)
		return s.answer
	case c.Number != s.commit+1:
		return groups.CommitResult{Err: groups.ErrLostWrites}
	}
	for _, id := range c.Seen {
		if s.Logged() && !s.has(id) && (s.position.IsZero() && !s.walk || !s.gone(id)) {
			return groups.CommitResult{Err: groups.ErrLostWrites}
		}
	}
	s.commit, s.until = c.Number, now.Add(lease)
	answer := groups.CommitResult{Revision: strconv.Itoa(s.revision)}
	if s.Logged() && (s.gone(s.position) || s.gone(c.Position)) {
		answer.Lost, answer.First = true, s.first()
		s.walk = true
		if s.position = c.Position; s.gone(c.Position) || c.Position.IsZero() {
			s.position = s.first()
		}
	} else if !c.Position.IsZero() {
		s.position = c.Position
	}
	if c.Walk.Changed {
		s.walk = c.Walk.Active || answer.Lost
	}
	s.saveChats(c.Commit)
	s.saveLetters(c.Commit, now)
	answer.DeadLetters = len(s.letters)
	s.answer = answer
	return answer
}

func (s *traceStore) saveChats(c *groups.Commit) {
	for _, k := range c.Checkpoints {
		s.checkpoints[k.Chat] = k.Seq
	}
	for _, l := range c.Left {
		if s.left[l.Chat] = l.State; l.State == groups.Streamed {
			delete(s.left, l.Chat)
		}
	}
	for _, f := range c.Failing {
		if s.failing[f.Chat] = f.Progress; f.Progress.IsZero() {
			delete(s.failing, f.Chat)
		}
	}
}

func (s *traceStore) saveLetters(c *groups.Commit, now time.Time) {
	for _, id := range c.Resolved {
		s.letters = slices.DeleteFunc(s.letters, func(l groups.StoredLetter) bool { return l.ID == id })
		delete(s.retries, id)
	}
	for _, l := range c.Letters {
		switch {
		case l.Of != "" && s.letter(l.Of) != nil:
			l.Mark.At = now
			s.retries[l.Of] = l.Mark
		case l.Of == "" || l.InOrder:
			s.written++
			s.letters = append(s.letters, groups.StoredLetter{Letter: l, ID: strconv.Itoa(s.written)})
		}
	}
}

func (s *traceStore) letter(id string) *groups.StoredLetter {
	for i := range s.letters {
		if s.letters[i].ID == id {
			return &s.letters[i]
		}
	}
	return nil
}

// decide is an administrator's decision about a letter.
func (s *traceStore) decide(id string, drop bool) error {
	l := s.letter(id)
	if l == nil {
		return groups.ErrDeadLetterNotFound
	}
	s.revision++
	mark := s.retries[id]
	parked := l.Parked
	if mark.Attempts > 0 {
		parked = mark.Parked
	} else {
		mark = groups.RetryMark{Attempts: l.Attempts, Parked: l.Parked, Seq: l.Seq, Chat: l.Chat}
	}
	resumes := parked && s.left[l.Chat] == groups.Parked
	if resumes {
		delete(s.failing, l.Chat)
		s.left[l.Chat] = groups.Behind
	}
	switch {
	case drop:
		if resumes {
			s.checkpoints[l.Chat] = l.Seq
		}
		delete(s.retries, id)
		s.letters = slices.DeleteFunc(s.letters, func(l groups.StoredLetter) bool { return l.ID == id })
	case resumes:
		mark.State = groups.RetryInOrder
		s.retries[id] = mark
	case mark.State != groups.RetryInOrder:
		mark.State = groups.RetryOutOfOrder
		s.retries[id] = mark
	}
	return nil
}

func (s *traceStore) checkpointsOf(chats []string) []domain.Seq {
	seqs := make([]domain.Seq, len(chats))
	for i, chat := range chats {
		seqs[i] = s.checkpoints[chat]
	}
	return seqs
}

// heads returns the heads of all chats, or only those beyond their checkpoints. A lost event at the end hides the head.
func (s *traceStore) heads(aheadOnly bool) (heads []ports.ChatHead) {
	for _, chat := range slices.Sorted(maps.Keys(s.events)) {
		head := domain.Seq(len(s.events[chat]))
		if !aheadOnly || head > s.checkpoints[chat] {
			heads = append(heads, ports.ChatHead{Chat: domain.ChatID(chat), Head: head})
		}
	}
	return heads
}

// parseEvents parses events such as ada/1, ada/1=text, ada/1#key, ada/1..9 and chat[1..9]/1.
func parseEvents(word string) (events []traceEvent, err error) {
	word, key, _ := strings.Cut(word, "#")
	name, text, _ := strings.Cut(word, "=")
	chat, seqs, found := strings.Cut(name, "/")
	if !found {
		return nil, fmt.Errorf("%q is no event such as ada/1", word)
	}
	first, last, err := parseRange(seqs)
	if err != nil {
		return nil, err
	}
	chats := []string{chat}
	if base, numbers, some := strings.Cut(strings.TrimSuffix(chat, "]"), "["); some {
		from, to, err := parseRange(numbers)
		if err != nil {
			return nil, err
		}
		chats = nil
		for n := from; n <= to; n++ {
			chats = append(chats, fmt.Sprintf("%s%d", base, n))
		}
	}
	for _, chat := range chats {
		for seq := first; seq <= last; seq++ {
			uuid := fmt.Sprintf("%s/%d", chat, seq)
			if text != "" {
				uuid += "=" + text
			}
			events = append(events, traceEvent{uuid: uuid, chat: chat, key: key, seq: domain.Seq(seq)}) //nolint:gosec // small
		}
	}
	return events, nil
}

func parseRange(text string) (first, last int, err error) {
	from, to, found := strings.Cut(text, "..")
	if !found {
		to = from
	}
	if first, err = strconv.Atoi(from); err == nil {
		last, err = strconv.Atoi(to)
	}
	return first, last, err
}
