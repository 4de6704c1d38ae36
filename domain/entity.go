package domain

import "slices"

// Entity is a part of a chat that changes as a whole: the unit of consistency. Its version is the seq of the last event that
// moved it.
type Entity struct {
	Kind EntityKind
	ID   string // "" for the chat itself
}

// EntityKind is the kind of an [Entity].
type EntityKind uint8

// The kinds of entities.
const (
	KindChat         EntityKind = iota + 1 // title, owners, archived or not
	KindMember                             // one user's membership and role
	KindMessage                            // one message: content, revisions, tombstone
	KindReactions                          // the reactions to one message
	KindRead                               // how far one user has read
	KindCommand                            // a command that was carried out; no event moves it
	KindCustom                             // a custom entity, which custom events move
	KindReceipt                            // the read receipts of one user, without the messages that move the read mark too
	KindRestrictions                       // the bans and mutes of a chat
	KindMetadata                           // what a team keeps about a chat
)

// Kinds is the number of kinds of entities, and the last kind.
const Kinds = KindMetadata

// ChatEntity is the chat itself.
func ChatEntity() Entity { return Entity{Kind: KindChat} }

// MemberEntity is one user's membership.
func MemberEntity(id UserID) Entity { return Entity{KindMember, string(id)} }

// MessageEntity is one message.
func MessageEntity(id MessageID) Entity { return Entity{KindMessage, string(id)} }

// ReactionsEntity is the reactions to one message.
func ReactionsEntity(id MessageID) Entity { return Entity{KindReactions, string(id)} }

// ReadEntity is one user's read mark.
func ReadEntity(id UserID) Entity { return Entity{KindRead, string(id)} }

// CommandEntity is a command that was carried out. Command ids are scoped to the actor: two users may choose the same one. Neither id
// has a space, so the entity's id is unambiguous.
func CommandEntity(by UserID, id CommandID) Entity {
	return Entity{KindCommand, string(by) + " " + string(id)}
}

// CustomEntity is a custom entity, such as a poll or an order.
func CustomEntity(id CustomID) Entity { return Entity{KindCustom, string(id)} }

// ReceiptEntity is the read receipts of one user.
func ReceiptEntity(id UserID) Entity { return Entity{KindReceipt, string(id)} }

// RestrictionsEntity is the bans and mutes of a chat. It has no state: its events are the record of who was restricted.
func RestrictionsEntity() Entity { return Entity{Kind: KindRestrictions} }

// MetadataEntity is the metadata of a chat.
func MetadataEntity() Entity { return Entity{Kind: KindMetadata} }

func (e Entity) String() string {
	switch e.Kind {
	case KindChat:
		return "chat"
	case KindMember:
		return "member/" + e.ID
	case KindMessage:
		return "message/" + e.ID
	case KindReactions:
		return "reactions/" + e.ID
	case KindRead:
		return "read/" + e.ID
	case KindCommand:
		return "cmd/" + e.ID
	case KindCustom:
		return "own/" + e.ID
	case KindReceipt:
		return "receipt/" + e.ID
	case KindRestrictions:
		return "restrictions"
	case KindMetadata:
		return "metadata"
	}
	return "unknown/" + e.ID
}

// Moves names the entities that a durable event moves, at most one of a kind.
func Moves(e Durable) []Entity { return AppendMoves(nil, e) }

// AppendMoves appends the result of [Moves] to dst.
func AppendMoves(dst []Entity, e Durable) []Entity {
	switch e := e.(type) {
	case MessageNew:
		return append(dst, MessageEntity(e.Message), ReadEntity(e.Sender)) // a sender has read the messages before
	case MessageEdit:
		return append(dst, MessageEntity(e.Message))
	case MessageDelete:
		return append(dst, MessageEntity(e.Message))
	case MessageErased:
		return append(dst, MessageEntity(e.Message))
	case MessageReaction:
		return append(dst, ReactionsEntity(e.Message))
	case ReadReceipt:
		return append(dst, ReadEntity(e.User), ReceiptEntity(e.User))
	case ChatUpdate:
		switch e.Change {
		case Created:
			return append(dst, ChatEntity(), MemberEntity(e.Actor))
		case Renamed, Archived, Unarchived:
			return append(dst, ChatEntity())
		case MemberAdded, MemberRemoved, RoleChanged:
			if e.Role == RoleOwner || e.Previous == RoleOwner {
				dst = append(dst, ChatEntity())
			}
			return append(dst, MemberEntity(e.User))
		}
	case ChatDeleted:
		return append(dst, ChatEntity())
	case ChatPolicy:
		return append(dst, ChatEntity())
	case MemberRestriction:
		if e.Kind == Block {
			return append(dst, ChatEntity(), MemberEntity(e.User)) // a send depends on the chat, in either direction
		}
		return append(dst, MemberEntity(e.User), RestrictionsEntity())
	case ChatMetadata:
		return append(dst, MetadataEntity())
	case Custom:
		if e.Entity != "" {
			return append(dst, CustomEntity(e.Entity))
		}
	}
	return dst
}

// MovesEntity reports whether an event moves an entity.
func MovesEntity(e Durable, entity Entity) bool {
	var room [4]Entity
	return slices.Contains(AppendMoves(room[:0], e), entity)
}
