package connect

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// event returns an event of a log.
func (o *output) event(r ports.Record) *v1.Event {
	event := &v1.Event{
		Id: string(r.ID), ChatId: string(r.Event.ChatID()), Seq: o.seq(r.Seq), Type: wireformat.Type(r.Event), OccurredAt: timeOf(r.Event.OccurredAt()),
		ActorId: string(domain.Actor(r.Event)), CorrelationId: r.Meta.CorrelationID, CausationId: string(r.Meta.CausationID), Traceparent: r.Meta.TraceParent, Erased: domain.IsErased(r.Event),
	}
	switch e := r.Event.(type) {
	case domain.MessageNew:
		event.Event = &v1.Event_MessageNew{MessageNew: messageNewOf(e)}
	case domain.MessageEdit:
		event.Event = &v1.Event_MessageEdit{MessageEdit: o.messageEdit(e)}
	case domain.MessageDelete:
		event.Event = &v1.Event_MessageDelete{MessageDelete: &v1.MessageDelete{
			MessageId: string(e.Message), Reason: string(e.Reason), MessageSeq: o.seq(e.Sent), ThreadId: string(e.Thread), InChat: e.InChat, Pinned: e.Pinned,
		}}
	case domain.MessageErased:
		event.Event = &v1.Event_MessageErased{MessageErased: &v1.MessageErased{MessageId: string(e.Message), MessageSeq: o.seq(e.Sent), Reason: string(e.Reason)}}
	case domain.ChatDeleted:
		event.Event = &v1.Event_ChatDeleted{ChatDeleted: &v1.ChatDeleted{Reason: string(e.Reason), ContentErased: e.ContentErased}}
	case domain.MessageReaction:
		event.Event = &v1.Event_MessageReaction{MessageReaction: &v1.MessageReaction{
			MessageId: string(e.Message), Emoji: string(e.Emoji), Removed: e.Action == domain.ReactionRemove,
		}}
	case domain.ReadReceipt:
		event.Event = &v1.Event_ReadReceipt{ReadReceipt: &v1.ReadReceipt{MessageId: string(e.Message), ReadSeq: o.seq(e.ReadSeq)}}
	case domain.ChatUpdate:
		event.Event = &v1.Event_ChatUpdate{ChatUpdate: &v1.ChatUpdate{
			Change: changes.of(e.Change), Kind: createdKind(e), Title: string(e.Title), UserId: string(e.User), Role: roles.of(e.Role), PreviousRole: roles.of(e.Previous),
		}}
	case domain.ChatPolicy:
		event.Event = &v1.Event_ChatPolicy{ChatPolicy: &v1.ChatPolicy{Visibility: visibilities.of(e.Visibility), Permissions: permissionsOf(e.Permissions)}}
	case domain.ChatMetadata:
		event.Event = &v1.Event_ChatMetadata{ChatMetadata: &v1.ChatMetadata{Set: valuesOf(e.Set), Unset: e.Unset}}
	case domain.ChatSettings:
		event.Event = &v1.Event_ChatSettings{ChatSettings: o.chatSettings(e)}
	case domain.MessagePin:
		event.Event = &v1.Event_MessagePin{MessagePin: &v1.MessagePin{MessageId: string(e.Message), MessageSeq: o.seq(e.Sent), Pinned: e.Pinned}}
	case domain.ThreadMark:
		event.Event = &v1.Event_ThreadMark{ThreadMark: &v1.ThreadMark{
			ThreadId: string(e.Thread), ReadSeq: o.seq(e.ReadSeq), MessageId: string(e.Message), Following: followings.of(e.Following),
		}}
	case domain.MemberRestriction:
		event.Event = &v1.Event_MemberRestriction{MemberRestriction: &v1.MemberRestriction{
			UserId: string(e.User), Restriction: restrictions.of(e.Kind), Until: timeOf(e.Until), Lifted: e.Lifted, Reason: string(e.Reason),
		}}
	case domain.Custom:
		event.Event = &v1.Event_Custom{Custom: &v1.CustomEvent{TypeVersion: o.version(e.Version), EntityId: string(e.Entity), Data: e.Data}}
	case domain.Unknown:
		event.Event = &v1.Event_Unknown{Unknown: &v1.UnknownEvent{TypeVersion: o.version(e.Version), Data: e.Data}}
	}
	return event
}

func messageNewOf(e domain.MessageNew) *v1.MessageNew {
	return &v1.MessageNew{
		MessageId: string(e.Message), Content: string(e.Content), ReplyTo: string(e.ReplyTo), Mentions: texts(e.Mentions), Attachments: attachmentsOf(e.Attachments),
		ClientMeta: string(e.ClientMeta), ThreadId: string(e.Thread), InChat: e.InChat, Broadcast: broadcasts.of(e.Broadcast),
	}
}

func (o *output) messageEdit(e domain.MessageEdit) *v1.MessageEdit {
	return &v1.MessageEdit{
		MessageId: string(e.Message), Content: string(e.Content), Mentions: texts(e.Mentions), MentionsChanged: e.Mentions != nil,
		Attachments: attachmentsOf(e.Attachments), AttachmentsChanged: e.Attachments != nil, Revision: o.number("revision", uint64(max(0, e.Revision))),
		MessageSeq: o.seq(e.Sent), ThreadId: string(e.Thread), InChat: e.InChat, MentionsAdded: texts(e.MentionsAdded), BroadcastRemoved: e.BroadcastRemoved,
	}
}

func (o *output) chatSettings(e domain.ChatSettings) *v1.ChatSettings {
	changed := &v1.ChatSettings{Favourite: e.Favourite, HiddenSeq: o.seq(e.HiddenSeq)}
	if e.Notify != nil {
		changed.Notify = notifyLevels.of(*e.Notify)
	}
	if e.MutedUntil != nil {
		changed.MutedUntil = timestamppb.New(time.Unix(0, 0))
		if !e.MutedUntil.IsZero() {
			changed.MutedUntil = timeOf(*e.MutedUntil)
		}
	}
	if e.Hidden != nil {
		changed.Hidden = hidings.of(*e.Hidden)
	}
	if e.UnreadSeq != nil {
		changed.UnreadSeq = new(o.seq(*e.UnreadSeq))
	}
	return changed
}

// version returns the version of an event's data.
func (o *output) version(v int) uint32 { return o.number("type_version", uint64(max(0, v))) }

// createdKind returns the kind of a chat that was created.
func createdKind(e domain.ChatUpdate) v1.ChatKind {
	if e.Change != domain.Created {
		return v1.ChatKind_CHAT_KIND_UNSPECIFIED
	}
	return chatKinds.of(e.Kind)
}
