package chaos

import (
	"fmt"

	"chatcore/domain"
)

// answers compares the answers to writers with the log.
func (c *checker) answers() {
	for _, a := range c.Acks {
		if a.Answer != Unknown {
			c.ack(a)
		}
	}
	not := make(map[string]NotDone, len(c.NotDone))
	for _, n := range c.NotDone {
		not[n.Attempt] = n
	}
	for chat, log := range c.Log {
		for _, l := range log {
			if n, was := not[l.Attempt]; was && l.Attempt != "" {
				c.violated(Nothing, chat, l.Seq, "an attempt of %q returned %q and recorded seq %d", n.Ref, n.Err, l.Seq)
			}
		}
	}
}

// ack finds an answer's event by its seq. The event's command shows whether it is the acknowledged one.
func (c *checker) ack(a Ack) {
	there, found := c.at(a.Chat, a.Seq)
	switch {
	case found && there.Ref == a.Ref:
		if a.Text != "" && there.What != nil && text(there.What) != a.Text {
			c.violated(Said, a.Chat, a.Seq, "message %q was sent as %q, the log has %q", a.Ref, a.Text, text(there.What))
		}
	case a.Answer == Unconfirmed && c.Lossy:
		c.lost.Unconfirmed = append(c.lost.Unconfirmed, a)
	case c.restored(a):
		c.lost.Restored = append(c.lost.Restored, a)
	case found:
		c.violated(Kept, a.Chat, a.Seq, "seq %d was acknowledged for %q, the log has %q there", a.Seq, a.Ref, there.Ref)
	default:
		c.violated(Kept, a.Chat, a.Seq, "seq %d was acknowledged for %q, the log ends at %d", a.Seq, a.Ref, len(c.Log[a.Chat]))
	}
}

// restored reports whether a restore lost the acknowledged event.
func (c *checker) restored(a Ack) bool {
	for _, r := range c.Restores {
		dumped, there := find(r.Log[a.Chat], a.Seq)
		if (Window{r.Dumped, r.Done}).overlaps(a.Asked, a.At) && (!there || dumped.Ref != a.Ref) {
			return true
		}
	}
	return false
}

// corrupt checks calls that found the log corrupt or lost. Only an eviction takes the log's ids.
func (c *checker) corrupt() {
	for _, f := range c.Corrupt {
		if excused := overlap(c.Damaged, f.Asked, f.At) && !f.Lost || c.evicted(f.Asked, f.At); !excused {
			c.violated(Whole, "", 0, "at %s a call returned %q", f.At.Format("15:04:05.000"), f.Err)
		}
	}
}

// ruling is the state that the rules of a chat need.
type ruling struct {
	members  map[domain.UserID]domain.Role
	messages map[domain.MessageID]*posted
	marks    map[domain.UserID]domain.Seq
}

type posted struct {
	seq       domain.Seq
	sender    domain.UserID
	revisions int
	deleted   bool
}

// lawful folds a chat by rules as plain as can be. An event that was decided on a state that the log does not have breaks one of them.
func (c *checker) lawful(chat domain.ChatID, log []Logged) {
	r := ruling{make(map[domain.UserID]domain.Role), make(map[domain.MessageID]*posted), make(map[domain.UserID]domain.Seq)}
	for i, l := range log {
		if l.What == nil {
			return
		}
		if why := r.next(i, l); why != "" {
			c.violated(Lawful, chat, l.Seq, "seq %d (%T, for %q) %s", l.Seq, l.What, l.Ref, why)
		}
	}
}

// next folds an event, and returns the rule that it breaks.
func (r ruling) next(i int, l Logged) string {
	created, is := l.What.(domain.ChatUpdate)
	if is = is && created.Change == domain.Created; is != (i == 0) {
		return "begins a chat that there is, or does not begin one"
	}
	switch e := l.What.(type) {
	case domain.MessageNew:
		if r.messages[e.Message] != nil {
			return "sends a message again"
		}
		r.messages[e.Message] = &posted{seq: l.Seq, sender: e.Sender}
		return r.member(e.Sender)
	case domain.MessageEdit:
		m := r.messages[e.Message]
		switch {
		case m == nil || m.deleted:
			return "edits a message that is not there"
		case m.sender != e.Editor:
			return "edits another one's message"
		}
		if m.revisions++; m.revisions != e.Revision {
			return "is not the next revision"
		}
		return r.member(e.Editor)
	case domain.MessageDelete:
		m := r.messages[e.Message]
		if m == nil || m.deleted {
			return "deletes a message that is not there"
		}
		m.deleted = true
	case domain.MessageReaction:
		if m := r.messages[e.Message]; m == nil || m.deleted {
			return "reacts to a message that is not there"
		}
		return r.member(e.User)
	case domain.ReadReceipt:
		if m := r.messages[e.Message]; m == nil || m.seq != e.ReadSeq {
			return "marks a message as read that is not there"
		}
		if e.ReadSeq <= r.marks[e.User] {
			return "sets a read mark back"
		}
		r.marks[e.User] = e.ReadSeq
		return r.member(e.User)
	case domain.ChatUpdate:
		return r.update(e)
	}
	return ""
}

func (r ruling) update(e domain.ChatUpdate) string {
	if e.Change == domain.Created {
		r.members[e.Actor] = domain.RoleOwner
		return ""
	}
	role, there := r.members[e.User]
	why := r.member(e.Actor)
	switch e.Change {
	case domain.MemberAdded:
		if r.members[e.User] = e.Role; there {
			return "adds a member that is there"
		}
	case domain.MemberRemoved:
		if delete(r.members, e.User); !there {
			return "removes a member that is not there"
		}
	case domain.RoleChanged:
		if r.members[e.User] = e.Role; !there || role != e.Previous {
			return fmt.Sprintf("changes the role of a member that was %s", role)
		}
	case domain.Created, domain.Renamed, domain.Archived, domain.Unarchived:
	}
	return why
}

func (r ruling) member(user domain.UserID) string {
	if _, there := r.members[user]; !there {
		return "is of a user that is not a member"
	}
	return ""
}
