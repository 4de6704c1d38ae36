package domain

import (
	"fmt"
	"slices"
	"time"
)

// RestrictionKind is what a restriction forbids.
type RestrictionKind uint8

// The kinds of restrictions.
const (
	Ban   RestrictionKind = iota + 1 // the user is no member of the group, and cannot become one
	Mute                             // the user reads the group, and cannot write, edit or react
	Block                            // neither participant of a direct chat can write to the other; who blocks is the actor
)

// Restriction is a ban or a mute. The zero value is none. It ends by itself when its time has come: there is no event for that.
type Restriction struct {
	By    UserID // "" for none
	Seq   Seq    // of its event
	Since time.Time
	Until time.Time // zero if it has no end
}

// InForce reports whether the restriction counts at a time.
func (r Restriction) InForce(at time.Time) bool {
	return r.By != "" && (r.Until.IsZero() || at.Before(r.Until))
}

// RestrictedError is returned for a command that a restriction forbids. It is [ErrBanned], [ErrMuted] or [ErrBlocked].
type RestrictedError struct {
	Kind  RestrictionKind
	Chat  ChatID
	User  UserID    // who is restricted
	Until time.Time // zero if it has no end
}

func (e *RestrictedError) Error() string { return e.Unwrap().Error() }

// Unwrap returns the refusal.
func (e *RestrictedError) Unwrap() error {
	until := ""
	if !e.Until.IsZero() {
		until = " until " + e.Until.Format(time.RFC3339Nano)
	}
	switch e.Kind {
	case Ban:
		return refuse(ErrBanned, "user %q is banned from chat %q%s", e.User, e.Chat, until)
	case Mute:
		return refuse(ErrMuted, "user %q is muted in chat %q%s", e.User, e.Chat, until)
	case Block:
	}
	return refuse(ErrBlocked, "in direct chat %q one participant blocks the other", e.Chat)
}

// Restriction returns the user's ban or mute, in force or not.
func (m Member) Restriction(kind RestrictionKind) Restriction {
	switch kind {
	case Ban:
		return m.Banned
	case Mute:
		return m.Muted
	case Block:
	}
	return Restriction{}
}

// joinable refuses a banned user.
func (m Member) joinable(chat ChatID, at time.Time) error {
	if m.Banned.InForce(at) {
		return &RestrictedError{Kind: Ban, Chat: chat, User: m.User, Until: m.Banned.Until}
	}
	return nil
}

// unmuted refuses a muted user, and one that the other participant of a direct chat blocks.
func (m Member) unmuted(chat ChatID, at time.Time) error {
	switch {
	case m.Muted.InForce(at):
		return &RestrictedError{Kind: Mute, Chat: chat, User: m.User, Until: m.Muted.Until}
	case m.Blocked:
		return &RestrictedError{Kind: Block, Chat: chat, User: m.User}
	}
	return nil
}

// applyRestriction folds a restriction of the user.
func (m *Member) applyRestriction(seq Seq, e MemberRestriction) {
	r := Restriction{By: e.Actor, Seq: seq, Since: e.At, Until: e.Until}
	if e.Lifted {
		r = Restriction{}
	}
	switch e.Kind {
	case Ban:
		m.Banned = r
	case Mute:
		m.Muted = r
	case Block:
		m.Blocked = !e.Lifted
	}
}

// applyBlock folds a block of one participant by the other.
func (c *Chat) applyBlock(e MemberRestriction) {
	c.Blocks = slices.DeleteFunc(slices.Clone(c.Blocks), func(user UserID) bool { return user == e.Actor })
	if !e.Lifted {
		c.Blocks = append(c.Blocks, e.Actor)
	}
	if len(c.Blocks) == 0 {
		c.Blocks = nil
	}
}

// RestrictionChange is a restriction to be set or lifted.
type RestrictionChange struct {
	Kind   RestrictionKind
	Until  time.Time // zero for no end; bans and mutes only
	Reason Reason
	Lift   bool
}

// Check returns an [*InvalidError] if the change is not valid at a time.
func (r RestrictionChange) Check(at time.Time) error {
	switch {
	case r.Kind < Ban || r.Kind > Block:
		return &InvalidError{Field: "restriction", Problem: fmt.Sprintf("is %d", r.Kind), Allowed: "ban, mute, block"}
	case !r.Until.IsZero() && r.Kind == Block:
		return &InvalidError{Field: "until", Problem: "is set", Allowed: "nothing for a block, which has no end"}
	case !r.Until.IsZero() && r.Lift:
		return &InvalidError{Field: "until", Problem: "is set", Allowed: "nothing where a restriction is lifted"}
	case !r.Until.IsZero() && !r.Until.After(at):
		return &InvalidError{Field: "until", Problem: "is " + r.Until.Format(time.RFC3339Nano), Allowed: "a time in the future, or none"}
	}
	return nil
}

// Restrict bans or mutes a user of a group, which need not be a member, or blocks the other participant of a direct chat; or lifts that. A ban of a member also ends the
// membership. Set or lifted already: no event. Until counts in whole milliseconds.
func (c Chat) Restrict(by, target Member, r RestrictionChange, at time.Time) ([]Durable, error) {
	r.Until = instantOrZero(r.Until)
	if err := r.Check(at); err != nil {
		return nil, err
	}
	if err := c.permit(by, NoRole, "restrict a user of"); err != nil {
		return nil, err
	}
	if r.Kind == Block {
		return c.block(by, target, r, at)
	}
	needed, what := c.RoleFor(ActionRestrict), "restrict a user of"
	if target.Role >= RoleAdmin {
		needed, what = RoleOwner, "restrict a "+target.Role.String()+" of"
	}
	if err := firstOf(c.notDirect("a "+r.Kind.String()), c.permit(by, needed, what)); err != nil {
		return nil, err
	}
	if by.User == target.User {
		return nil, &InvalidError{Field: "userId", Problem: "is the actor", Allowed: "another user"}
	}
	present := target.Restriction(r.Kind)
	if r.Lift && present.By == "" || !r.Lift && present.InForce(at) && present.Until.Equal(r.Until) {
		return nil, nil
	}
	var events []Durable
	if r.Kind == Ban && !r.Lift && target.Current() {
		events = append(events, ChatUpdate{Chat: c.ID, Actor: by.User, Change: MemberRemoved, User: target.User, Previous: target.Role, At: at})
	}
	return append(events, c.restriction(by, target.User, r, at)), nil
}

func (c Chat) restriction(by Member, user UserID, r RestrictionChange, at time.Time) MemberRestriction {
	return MemberRestriction{Chat: c.ID, Actor: by.User, User: user, Kind: r.Kind, Until: r.Until, Lifted: r.Lift, Reason: r.Reason, At: at}
}

// block decides on a block in a direct chat.
func (c Chat) block(by, target Member, r RestrictionChange, at time.Time) ([]Durable, error) {
	switch {
	case c.Kind != Direct:
		return nil, &InvalidError{Field: "restriction", Problem: "is block", Allowed: "ban or mute in a group; a block belongs to a direct chat"}
	case by.User == target.User || c.Peer(by.User) != target.User:
		return nil, &InvalidError{Field: "userId", Problem: "is " + string(target.User), Allowed: "the other participant of the direct chat"}
	}
	blocks := slices.Contains(c.Blocks, by.User)
	if r.Lift && !blocks && slices.Contains(c.Blocks, target.User) {
		return nil, refuse(ErrForbidden, "only user %q can lift the block in direct chat %q", target.User, c.ID)
	}
	if blocks != r.Lift {
		return nil, nil
	}
	return []Durable{c.restriction(by, target.User, r, at)}, nil
}

// Block opens the direct chat of two users if there is none, or it was deleted, and blocks the other one there.
func (c Chat) Block(id ChatID, by, target Member, r RestrictionChange, at time.Time) ([]Durable, error) {
	if c.Exists() && !c.Deleted() || r.Lift || by.User == target.User {
		return c.Restrict(by, target, r, at)
	}
	events, err := c.OpenDirect(id, by, target, at)
	if err := firstOf(r.Check(at), err); err != nil {
		return nil, err
	}
	if slices.Contains(c.Blocks, by.User) {
		return events, nil // with the block
	}
	opened := Chat{ID: id, Kind: Direct, Participants: [2]UserID{by.User, target.User}}
	return append(events, opened.restriction(by, target.User, r, at)), nil
}

func instantOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return Instant(t)
}
