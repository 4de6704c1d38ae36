package domain

import (
	"cmp"
	"slices"
	"time"
)

// Reactions are the reactions to one message: a set over user and emoji. A reaction that was recorded twice counts once.
type Reactions struct {
	set map[reaction]Seq
}

type reaction struct {
	user  UserID
	emoji Emoji
}

// Apply folds an event that moved the reactions.
func (r *Reactions) Apply(seq Seq, e Durable) {
	ev, ok := e.(MessageReaction)
	if !ok {
		return
	}
	key := reaction{ev.User, ev.Emoji}
	switch ev.Action {
	case ReactionAdd:
		if r.set == nil {
			r.set = make(map[reaction]Seq)
		}
		if _, there := r.set[key]; !there {
			r.set[key] = seq
		}
	case ReactionRemove:
		delete(r.set, key)
	}
}

// Has reports whether the user's reaction is there.
func (r Reactions) Has(user UserID, emoji Emoji) bool {
	_, ok := r.set[reaction{user, emoji}]
	return ok
}

// Len is the number of reactions.
func (r Reactions) Len() int { return len(r.set) }

// ReactionGroup is everyone who reacted with one emoji.
type ReactionGroup struct {
	Emoji Emoji
	Users []UserID // in the order in which they reacted
}

// Groups lists the reactions by emoji, in the order in which each emoji first came.
func (r Reactions) Groups() []ReactionGroup {
	keys := make([]reaction, 0, len(r.set))
	for key := range r.set {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b reaction) int {
		return cmp.Or(cmp.Compare(r.set[a], r.set[b]), cmp.Compare(a.emoji, b.emoji), cmp.Compare(a.user, b.user))
	})
	var groups []ReactionGroup
	place := make(map[Emoji]int)
	for _, key := range keys {
		i, seen := place[key.emoji]
		if !seen {
			i = len(groups)
			place[key.emoji] = i
			groups = append(groups, ReactionGroup{Emoji: key.emoji})
		}
		groups[i].Users = append(groups[i].Users, key.user)
	}
	return groups
}

// React puts a reaction. There already: no event.
func (c Chat) React(by Member, m Message, r Reactions, emoji Emoji, at time.Time) ([]Durable, error) {
	if err := c.mayReact(by, m); err != nil || r.Has(by.User, emoji) {
		return nil, err
	}
	return c.reacted(by, m, emoji, ReactionAdd, at), nil
}

// Unreact takes a reaction back. Not there: no event.
func (c Chat) Unreact(by Member, m Message, r Reactions, emoji Emoji, at time.Time) ([]Durable, error) {
	if err := c.mayReact(by, m); err != nil || !r.Has(by.User, emoji) {
		return nil, err
	}
	return c.reacted(by, m, emoji, ReactionRemove, at), nil
}

func (c Chat) reacted(by Member, m Message, emoji Emoji, action ReactionAction, at time.Time) []Durable {
	return []Durable{MessageReaction{Chat: c.ID, Message: m.ID, User: by.User, Emoji: emoji, Action: action, At: at}}
}

func (c Chat) mayReact(by Member, m Message) error {
	if err := c.permit(by, RoleMember, "react in"); err != nil {
		return err
	}
	switch {
	case c.Archived:
		return refuse(ErrArchived, "chat %q takes no reactions until it is unarchived", c.ID)
	case !m.Exists():
		return refuse(ErrMessageNotFound, "chat %q has no message %q", c.ID, m.ID)
	case m.Deleted():
		return refuse(ErrMessageDeleted, "message %q was deleted by %q", m.ID, m.DeletedBy)
	}
	return nil
}
