package memory

import (
	"fmt"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// chat is one chat's log and its index. A nil chat is one that does not exist.
type chat struct {
	records    []ports.Record                 // that of seq n at n-1
	moves      map[domain.Entity][]domain.Seq // of the events that moved an entity
	members    []domain.UserID                // present and former, in the order in which they came
	tombstones map[domain.Seq]struct{}        // of the messages that were deleted, the seq of their send
	snapshots  map[domain.Entity]ports.Snapshot
	commands   map[domain.Entity]recordedCommand
	listed     ports.ChatViewEntry // the last message as lists show it, as it was put last
}

// recordedCommand is a command with an id, and the entity's version.
type recordedCommand struct {
	ports.CommandRecord
	version domain.Seq
}

func newChat() *chat {
	return &chat{
		moves: make(map[domain.Entity][]domain.Seq), tombstones: make(map[domain.Seq]struct{}), snapshots: make(map[domain.Entity]ports.Snapshot),
		commands: make(map[domain.Entity]recordedCommand),
	}
}

func (c *chat) head() domain.Seq {
	if c == nil {
		return 0
	}
	return domain.Seq(len(c.records))
}

func (c *chat) version(e domain.Entity) domain.Seq {
	switch {
	case c == nil:
		return 0
	case e.Kind == domain.KindCommand:
		return c.commands[e].version
	case len(c.moves[e]) == 0:
		return 0
	}
	return c.moves[e][len(c.moves[e])-1]
}

// ordinal is that of the event at the given seq, or of the last if there is none so high.
func (c *chat) ordinal(at domain.Seq) domain.Ordinal {
	if at = min(at, c.head()); at == 0 {
		return 0
	}
	return c.records[at-1].Ordinal
}

// conflict is the first condition that does not hold, or nil.
func (c *chat) conflict(a command) error {
	if a.Command != (domain.Entity{}) {
		if version := c.version(a.Command); version != 0 {
			return &ports.ConflictError{Chat: a.Chat, Condition: domain.Condition{Entity: a.Command}, Version: version}
		}
	}
	for _, condition := range a.Conditions {
		if version := c.version(condition.Entity); !condition.Holds(version) {
			return &ports.ConflictError{Chat: a.Chat, Condition: condition, Version: version}
		}
	}
	if a.erases != "" && c.version(domain.MessageEntity(a.erases)) == 0 {
		return fmt.Errorf("%w: chat %q has no message %q", ports.ErrConflict, a.Chat, a.erases)
	}
	if len(a.Events) == 0 && c.head() == 0 {
		return fmt.Errorf("%w: chat %q does not exist, it cannot record a command without events", ports.ErrConflict, a.Chat)
	}
	return nil
}

func (c *chat) add(e ports.NewEvent) ports.Record {
	r := ports.Record{ID: e.ID, Seq: c.head() + 1, Ordinal: c.ordinal(c.head()), Event: e.Event, Meta: e.Meta}
	switch event := e.Event.(type) {
	case domain.MessageNew:
		if event.InTimeline() {
			r.Ordinal++
		}
	case domain.MessageDelete:
		if !event.InTimeline() {
			break
		}
		if seqs := c.moves[domain.MessageEntity(event.Message)]; len(seqs) > 0 {
			c.tombstones[seqs[0]] = struct{}{}
		}
	}
	c.records = append(c.records, r)
	for _, m := range e.Moves {
		if m.Kind == domain.KindMember && len(c.moves[m]) == 0 {
			c.members = append(c.members, domain.UserID(m.ID))
		}
		c.moves[m] = append(c.moves[m], r.Seq)
	}
	return r
}

func (c *chat) history(w ports.LoadRequest) ports.EntityHistory {
	var h ports.EntityHistory
	if c == nil {
		return h
	}
	if w.Entity.Kind == domain.KindCommand {
		recorded := c.commands[w.Entity]
		return ports.EntityHistory{Version: recorded.version, Command: recorded.CommandRecord}
	}
	seqs := c.moves[w.Entity]
	if w.From > 0 {
		n, found := slices.BinarySearch(seqs, w.From)
		if found {
			n++
		}
		seqs = seqs[:n]
	}
	if w.Until > 0 {
		n, found := slices.BinarySearch(seqs, w.Until)
		if found {
			n++
		}
		seqs = seqs[:n]
	}
	if len(seqs) > 0 {
		h.Version = seqs[len(seqs)-1]
	}
	if s := c.snapshots[w.Entity]; !w.Whole && !w.Latest && s.Version > w.After && s.Version <= h.Version &&
		(w.After == 0 || s.Version-w.After > manyEvents) {
		h.Snapshot = s
		w.After = s.Version
	}
	if w.Latest && len(seqs) > 0 {
		seqs = seqs[c.latestFrom(w.Entity.Kind, seqs):]
	}
	if n := len(seqs) - w.Last; w.Last > 0 && n > 0 {
		h.Older, seqs = seqs[n-1], seqs[n:]
	}
	for _, seq := range seqs {
		if seq > w.After {
			h.Events = append(h.Events, c.records[seq-1])
		}
	}
	if w.Net {
		h = withoutUndone(h)
	}
	return h
}

// withoutUndone leaves out reactions that were removed later.
func withoutUndone(h ports.EntityHistory) ports.EntityHistory {
	undone := make(map[domain.Reaction]bool)
	var kept []ports.Record
	for _, r := range slices.Backward(h.Events) {
		e, reaction := r.Event.(domain.MessageReaction)
		key := domain.Reaction{User: e.User, Emoji: e.Emoji}
		if reaction && undone[key] {
			h.Undone++
			continue
		}
		undone[key] = undone[key] || e.Action == domain.ReactionRemove
		kept = append(kept, r)
	}
	slices.Reverse(kept)
	h.Events = kept
	return h
}

// latestFrom returns the index of the first event that [ports.LoadRequest.Latest] needs. A read mark may need more than the last event, because a receipt may
// follow a later message of the same user.
func (c *chat) latestFrom(kind domain.EntityKind, seqs []domain.Seq) int {
	i, published := len(seqs)-1, domain.Seq(0)
	for ; i > 0; i-- {
		mark := seqs[i]
		if receipt, ok := c.records[mark-1].Event.(domain.ReadReceipt); ok && kind == domain.KindRead {
			mark = receipt.ReadSeq
		}
		if published = max(published, mark); seqs[i-1] <= published {
			break
		}
	}
	return i
}

// page returns the events of a range that are wanted, which nil says of all.
func (c *chat) page(r ports.Range, wanted func(ports.Record) bool) (records []ports.Record) {
	for first, last := r.Clip(c.head()); first <= last && len(records) < r.Limit; {
		var record ports.Record
		if r.Backward {
			record, last = c.records[last-1], last-1
		} else {
			record, first = c.records[first-1], first+1
		}
		if wanted == nil || wanted(record) {
			records = append(records, record)
		}
	}
	return records
}

// search returns the events of a range that a filter selects.
func (c *chat) search(f ports.Filter, r ports.Range) []ports.Record {
	return c.page(r, func(record ports.Record) bool {
		if f.User != "" {
			return domain.Concerns(record.Event, f.User)
		}
		sent := domain.InTimeline(record.Event)
		_, deleted := c.tombstones[record.Seq]
		return sent && (f.Messages || deleted)
	})
}

func (c *chat) countMembers(r ports.CountRequest) ports.MemberCounts {
	if c == nil {
		return ports.MemberCounts{}
	}
	counts := ports.MemberCounts{Head: c.head(), Members: len(c.members)}
	users := r.Users
	if len(users) == 0 && len(c.members) <= r.Most {
		users = c.members
	}
	for _, user := range users {
		moved := c.version(domain.MemberEntity(user))
		if _, current := c.since(user); !current && moved > 0 && moved <= r.After {
			continue
		}
		counts.Users = append(counts.Users, ports.MemberCount{User: user, UnreadCount: c.unread(user)})
	}
	return counts
}

// unread counts the messages after the join and the read mark of a user.
func (c *chat) unread(user domain.UserID) ports.UnreadCount {
	joined, current := c.since(user)
	if !current {
		return ports.UnreadCount{Outcome: ports.UnreadNotMember}
	}
	since := joined
	for _, seq := range c.moves[domain.ReadEntity(user)] {
		mark := seq
		if receipt, ok := c.records[seq-1].Event.(domain.ReadReceipt); ok {
			mark = receipt.ReadSeq
		}
		since = max(since, mark)
	}
	if from := c.unreadFrom(user); from > 0 {
		since = max(joined, from-1)
	}
	n := c.count(since)
	return ports.UnreadCount{Messages: domain.Unread(n.Head, n.At, n.Deleted), Outcome: ports.UnreadCounted}
}

// unreadFrom returns the seq from which messages count as unread because the user has marked them so, or 0.
func (c *chat) unreadFrom(user domain.UserID) domain.Seq {
	moved := c.version(domain.ReadEntity(user))
	for _, seq := range slices.Backward(c.moves[domain.SettingsEntity(user)]) {
		if e, _ := c.records[seq-1].Event.(domain.ChatSettings); e.UnreadSeq != nil && seq > moved {
			return *e.UnreadSeq
		}
	}
	return 0
}

// since returns the seq of the join of a present member.
func (c *chat) since(user domain.UserID) (domain.Seq, bool) {
	for _, seq := range slices.Backward(c.moves[domain.MemberEntity(user)]) {
		switch e, _ := c.records[seq-1].Event.(domain.ChatUpdate); e.Change {
		case domain.Created, domain.MemberAdded:
			return seq, true
		case domain.MemberRemoved:
			return 0, false
		case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
		}
	}
	return 0, false
}

func (c *chat) count(after domain.Seq) ports.MessageCount {
	if c == nil {
		return ports.MessageCount{}
	}
	count := ports.MessageCount{Last: c.head(), Head: c.ordinal(c.head()), At: c.ordinal(after)}
	for seq := range c.tombstones {
		if seq > after {
			count.Deleted++
		}
	}
	return count
}
