package domain

import (
	"slices"
	"strconv"
)

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
	KindSettings                           // the settings of one user for a chat
	KindPins                               // the pinned messages of a chat
	KindThread                             // the replies to one message
	KindThreads                            // the replies in all threads of a chat
	KindThreadMark                         // how far one user has read one thread, and whether the user follows it
	KindMentions                           // the messages that mention someone, of the main timeline or of the threads
)

// Kinds is the number of kinds of entities, and the last kind.
const Kinds = KindMentions

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

// SettingsEntity is the settings of one user.
func SettingsEntity(id UserID) Entity { return Entity{KindSettings, string(id)} }

// PinsEntity is the pinned messages of a chat.
func PinsEntity() Entity { return Entity{Kind: KindPins} }

// ThreadEntity is the thread of a message.
func ThreadEntity(root MessageID) Entity { return Entity{KindThread, string(root)} }

// ThreadsEntity is the replies in all threads of a chat. It has no state: its events are the record of them.
func ThreadsEntity() Entity { return Entity{Kind: KindThreads} }

// ThreadMarkEntity is one user's mark of a thread. The length of the user's id makes the entity's id unambiguous.
func ThreadMarkEntity(user UserID, root MessageID) Entity {
	return Entity{KindThreadMark, strconv.Itoa(len(user)) + ":" + string(user) + string(root)}
}

// MentionsEntity is the messages that mention someone: those of the main timeline, or those that are in threads alone. It has no state: its events are
// the record of them.
func MentionsEntity(inTimeline bool) Entity {
	if inTimeline {
		return Entity{KindMentions, "main"}
	}
	return Entity{KindMentions, "thread"}
}

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
	case KindSettings:
		return "settings/" + e.ID
	case KindPins:
		return "pins"
	case KindThread:
		return "thread/" + e.ID
	case KindThreads:
		return "threads"
	case KindThreadMark:
		return "threadMark/" + e.ID
	case KindMentions:
		return "mentions/" + e.ID
	}
	return "unknown/" + e.ID
}

// Moves names the entities that a durable event moves, at most one of a kind.
func Moves(e Durable) []Entity { return AppendMoves(nil, e) }

// AppendMoves appends the result of [Moves] to dst.
func AppendMoves(dst []Entity, e Durable) []Entity {
	switch e := e.(type) {
	case MessageNew:
		return e.appendMoves(dst)
	case MessageEdit:
		dst = append(dst, MessageEntity(e.Message))
		if e.Mentioned {
			dst = append(dst, MentionsEntity(e.InTimeline()))
		}
		return dst
	case MessageDelete:
		return e.appendMoves(dst)
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
	case ChatSettings:
		return append(dst, SettingsEntity(e.User))
	case MessagePin:
		return append(dst, MessageEntity(e.Message), PinsEntity())
	case ThreadMark:
		return append(dst, ThreadMarkEntity(e.User, e.Thread))
	case Custom:
		if e.Entity != "" {
			return append(dst, CustomEntity(e.Entity))
		}
	}
	return dst
}

func (e MessageNew) appendMoves(dst []Entity) []Entity {
	dst = append(dst, MessageEntity(e.Message))
	if e.InTimeline() {
		dst = append(dst, ReadEntity(e.Sender)) // a sender has read the messages before
	}
	if e.Thread != "" {
		dst = append(dst, ThreadEntity(e.Thread), ThreadsEntity(), ThreadMarkEntity(e.Sender, e.Thread))
	}
	if e.Mentioned {
		dst = append(dst, MentionsEntity(e.InTimeline()))
	}
	return dst
}

func (e MessageDelete) appendMoves(dst []Entity) []Entity {
	dst = append(dst, MessageEntity(e.Message))
	if e.Thread != "" {
		dst = append(dst, ThreadEntity(e.Thread))
	}
	if e.Pinned {
		dst = append(dst, PinsEntity())
	}
	if e.Mentioned {
		dst = append(dst, MentionsEntity(e.InTimeline()))
	}
	return dst
}

// MovesEntity reports whether an event moves an entity.
func MovesEntity(e Durable, entity Entity) bool {
	var room [8]Entity
	return slices.Contains(AppendMoves(room[:0], e), entity)
}
