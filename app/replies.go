package app

import (
	"chatcore/domain"
	"chatcore/ports"
)

// repliesOf returns slots for the messages that the given sends reply to and that are not among them. The last event of a message shows whether it
// was deleted: a deletion is final.
func repliesOf(sends []ports.Record) (slots []slot) {
	seen := make(map[domain.MessageID]struct{})
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			seen[sent.Message] = struct{}{}
		}
	}
	for _, r := range sends {
		sent, _ := r.Event.(domain.MessageNew)
		if _, there := seen[sent.ReplyTo]; sent.ReplyTo != "" && !there {
			seen[sent.ReplyTo] = struct{}{}
			slots = append(slots, slot{entity: domain.MessageEntity(sent.ReplyTo), latest: true})
		}
	}
	return slots
}

// markReplies sets ReplyDeleted of views that reply to one another, or to the messages of the given slots.
func markReplies(views []MessageView, slots []slot) {
	deleted := make(map[domain.MessageID]struct{})
	for _, v := range views {
		if v.Deleted() {
			deleted[v.ID] = struct{}{}
		}
	}
	for _, s := range slots {
		if m, _ := s.state.(*domain.Message); m != nil && m.Deleted() {
			deleted[domain.MessageID(s.entity.ID)] = struct{}{}
		}
	}
	for i, v := range views {
		if v.ReplyTo != "" {
			_, views[i].ReplyDeleted = deleted[v.ReplyTo]
		}
	}
}
