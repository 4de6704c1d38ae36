package domain

import "time"

// Following is a change of whether a user follows a thread.
type Following uint8

// The changes.
const (
	FollowingUnchanged Following = iota
	FollowingDefault             // as if the user had never chosen: the author of the root, and everybody who replies, follows
	Follow
	Unfollow
)

// ThreadPosition is how far one user has read a thread, and whether the user follows it. The user's own reply moves it: the user has read the thread up to there, and
// follows it.
type ThreadPosition struct {
	Seq       Seq       // of the last reply read, 0 if none
	Message   MessageID `json:",omitzero"` // that reply
	ReceiptAt time.Time `json:",omitzero"` // when the last mark was recorded, zero if none was
	Since     Seq       `json:",omitzero"` // replies up to this seq are not unread: the user did not follow then
	Choice    Following `json:",omitzero"` // Follow or Unfollow; otherwise the default
	Replied   bool      `json:",omitzero"`
}

// Apply folds an event that moved the position.
func (p *ThreadPosition) Apply(seq Seq, e Durable) {
	switch e := e.(type) {
	case MessageNew:
		p.Seq, p.Message, p.Replied = seq, e.Message, true
		if p.Choice == Unfollow {
			p.Choice = FollowingUnchanged
		}
	case ThreadMark:
		p.applyMark(seq, e)
	}
}

func (p *ThreadPosition) applyMark(seq Seq, e ThreadMark) {
	if e.ReadSeq > p.Seq {
		p.Seq, p.Message = e.ReadSeq, e.Message
	}
	if e.ReadSeq > 0 && e.At.After(p.ReceiptAt) {
		p.ReceiptAt = e.At
	}
	switch e.Following {
	case FollowingUnchanged:
	case FollowingDefault:
		if p.Choice == Unfollow {
			p.Since = seq
		}
		p.Choice = FollowingUnchanged
	case Follow:
		p.Choice, p.Since = Follow, seq
	case Unfollow:
		p.Choice = Unfollow
	}
}

// Clone implements [State].
func (p *ThreadPosition) Clone() State {
	clone := *p
	return &clone
}

// Base returns the seq above which replies are unread, for a user that follows or is mentioned.
func (p ThreadPosition) Base() Seq { return max(p.Seq, p.Since) }

// Follows reports whether a user follows the thread of a root.
func (p ThreadPosition) Follows(user UserID, root Message) bool {
	switch p.Choice {
	case Follow:
		return true
	case Unfollow:
		return false
	case FollowingUnchanged, FollowingDefault:
	}
	return p.Replied || root.Exists() && root.Sender == user
}

// Advance moves the mark to a reply of the thread. Read that far already: no event. Within [ReadCoalescing] of the mark before: [*TooSoonError].
func (p ThreadPosition) Advance(by Member, root, reply Message, at time.Time) ([]Durable, error) {
	if err := firstOf(root.markable(by), reply.isReplyIn(root)); err != nil || reply.Seq <= p.Seq {
		return nil, err
	}
	if since := at.Sub(p.ReceiptAt); !p.ReceiptAt.IsZero() && since >= 0 && since < ReadCoalescing {
		return nil, &TooSoonError{Until: p.ReceiptAt.Add(ReadCoalescing)}
	}
	return []Durable{ThreadMark{Chat: root.Chat, Thread: root.ID, User: by.User, ReadSeq: reply.Seq, Message: reply.ID, At: at}}, nil
}

// SetFollowing changes whether the user follows the thread. If that changes nothing, there is no event.
func (p ThreadPosition) SetFollowing(by Member, root Message, to Following, at time.Time) ([]Durable, error) {
	if err := root.markable(by); err != nil {
		return nil, err
	}
	follows := p.Follows(by.User, root)
	switch to {
	case Follow:
		if follows {
			return nil, nil
		}
	case Unfollow:
		if !follows {
			return nil, nil
		}
	case FollowingDefault:
		if p.Choice == FollowingUnchanged {
			return nil, nil
		}
	default:
		return nil, &InvalidError{Field: "following", Problem: "is " + to.String(), Allowed: "default, follow, unfollow"}
	}
	return []Durable{ThreadMark{Chat: root.Chat, Thread: root.ID, User: by.User, Following: to, At: at}}, nil
}

// Mark moves the mark to a reply of the thread, if there is one, and changes whether the user follows it, in one event and regardless of the mark before. If that changes
// nothing, there is no event.
func (p ThreadPosition) Mark(by Member, root Message, reply *Message, to Following, at time.Time) ([]Durable, error) {
	events, err := p.SetFollowing(by, root, to, at)
	if err != nil || reply == nil {
		return events, err
	}
	p.ReceiptAt = time.Time{}
	moved, err := p.Advance(by, root, *reply, at)
	if err != nil || len(events) == 0 || len(moved) == 0 {
		return append(moved, events...), err
	}
	mark, _ := moved[0].(ThreadMark)
	mark.Following = to
	return []Durable{mark}, nil
}

// markable refuses a mark of a user who is no member, or in a thread that cannot be: in this order, so that outsiders learn nothing.
func (m Message) markable(by Member) error {
	if !by.Current() {
		return NotMember(m.Chat, by.User)
	}
	return m.answerable()
}

// isReplyIn refuses a message that is no reply in the thread of a root.
func (m Message) isReplyIn(root Message) error {
	if !m.Exists() || m.Thread != root.ID {
		return refuse(ErrMessageNotFound, "the thread of message %q of chat %q has no reply %q", root.ID, root.Chat, m.ID)
	}
	return nil
}
