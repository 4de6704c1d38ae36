package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// ChatKind is the kind of a chat.
type ChatKind uint8

// The kinds of chats.
const (
	Group  ChatKind = iota // members change
	Direct                 // of two users, who never change; see [DirectID]
)

// DirectID returns the id of the direct chat of two users, in either order: dm- and the SHA-256 of both ids, ordered by their bytes, each after its length in
// two bytes. The chat of one user alone is for notes.
func DirectID(a, b UserID) ChatID {
	if b < a {
		a, b = b, a
	}
	sum := sha256.New()
	for _, id := range [...]UserID{a, b} {
		sum.Write(binary.BigEndian.AppendUint16(nil, uint16(len(id)))) //nolint:gosec // at most MaxIDBytes
		sum.Write([]byte(id))
	}
	return ChatID(directPrefix + hex.EncodeToString(sum.Sum(nil)))
}

const directPrefix = "dm-"

// OpenDirect opens the direct chat of two users, who both become owners. Open already: no event. A participant who has left joins again. A chat that was deleted begins again,
// once its participants have been removed; blocks stay.
func (c Chat) OpenDirect(id ChatID, by, with Member, at time.Time) ([]Durable, error) {
	if !c.Exists() {
		return c.createDirect(id, by.User, with.User, at), nil
	}
	if c.Kind != Direct || !c.participates(by.User) || !c.participates(with.User) {
		return nil, refuse(ErrChatExists, "chat %q was created by %q, and is not the direct chat of %q and %q", id, c.CreatedBy, by.User, with.User)
	}
	if c.Deleted() {
		return c.reopen(by, with, at)
	}
	var events []Durable
	for _, m := range [...]Member{by, with} {
		if !m.Current() && (m != with || by.User != with.User) {
			events = append(events, ChatUpdate{Chat: id, Actor: by.User, Change: MemberAdded, User: m.User, Role: RoleOwner, At: at})
		}
	}
	return events, nil
}

// reopen creates a deleted direct chat again. Its blocks are recorded once more, because the creation begins without them.
func (c Chat) reopen(by, with Member, at time.Time) ([]Durable, error) {
	if by.Current() || with.Current() {
		return nil, refuse(ErrChatDeleted, "the deletion of direct chat %q by %q has not ended", c.ID, c.DeletedBy)
	}
	events := c.createDirect(c.ID, by.User, with.User, at)
	for _, blocker := range c.Blocks {
		events = append(events, MemberRestriction{Chat: c.ID, Actor: blocker, User: c.Peer(blocker), Kind: Block, At: at})
	}
	return events, nil
}

func (c Chat) createDirect(id ChatID, by, with UserID, at time.Time) []Durable {
	events := []Durable{ChatUpdate{Chat: id, Actor: by, Change: Created, Kind: Direct, At: at}}
	if with != by {
		events = append(events, ChatUpdate{Chat: id, Actor: by, Change: MemberAdded, User: with, Role: RoleOwner, At: at})
	}
	return events
}

// participates reports whether a user is one of the two of a direct chat, present or not.
func (c Chat) participates(user UserID) bool {
	return c.Participants[0] == user || c.Participants[1] == user
}

// Peer returns the other participant of a direct chat: the user itself in a chat for notes, and "" if the user is no participant or the chat is not direct.
func (c Chat) Peer(user UserID) UserID {
	switch {
	case c.Kind != Direct || !c.participates(user):
		return ""
	case c.Participants[0] == user:
		return c.Participants[1]
	}
	return c.Participants[0]
}

// notDirect refuses a command that direct chats do not take.
func (c Chat) notDirect(what string) error {
	if c.Kind != Direct {
		return nil
	}
	return refuse(ErrDirect, "a direct chat such as %q does not take %s", c.ID, what)
}

// reachable refuses a command in a direct chat in which a participant blocks the other, or that the other has left.
func (c Chat) reachable(by Member) error {
	if c.Kind != Direct {
		return nil
	}
	for _, blocker := range c.Blocks {
		return &RestrictedError{Kind: Block, Chat: c.ID, User: c.Peer(blocker)}
	}
	if peer := c.Peer(by.User); peer != "" && peer != by.User {
		if _, there := c.Owners[peer]; !there {
			return refuse(ErrPeerGone, "user %q is no longer in direct chat %q", peer, c.ID)
		}
	}
	return nil
}
