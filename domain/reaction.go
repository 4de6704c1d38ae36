package domain

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// Reactions are the reactions to one message: a set over user and emoji. A reaction that was recorded twice counts once, also in two spellings of the
// emoji: emoji are in their normal form ([Emoji.Normal]), however they were recorded.
type Reactions struct {
	shared map[Reaction]Seq // never changed once a clone has it too
	recent map[Reaction]Seq // over shared; 0 for removed reactions
	emojis map[Emoji]int    // how many reactions have each emoji
	n      int
}

// Reaction is one user's reaction with one emoji.
type Reaction struct {
	User  UserID
	Emoji Emoji
}

// ReactionsOf are the given reactions, whose emoji must be in their normal form, with the seqs of their events.
func ReactionsOf(set map[Reaction]Seq) *Reactions {
	emojis := make(map[Emoji]int)
	for key := range set {
		emojis[key.Emoji]++
	}
	return &Reactions{shared: maps.Clone(set), emojis: emojis, n: len(set)}
}

// Apply folds an event that moved the reactions.
func (r *Reactions) Apply(seq Seq, e Durable) {
	ev, ok := e.(MessageReaction)
	if !ok {
		return
	}
	key := Reaction{ev.User, ev.Emoji.Normal()}
	there := r.seqOf(key) > 0
	if r.recent == nil {
		r.recent = make(map[Reaction]Seq)
	}
	switch ev.Action {
	case ReactionAdd:
		if !there {
			r.recent[key] = seq
			r.count(key.Emoji, 1)
		}
	case ReactionRemove:
		if there {
			r.recent[key] = 0
			r.count(key.Emoji, -1)
		}
	}
}

func (r *Reactions) count(emoji Emoji, by int) {
	if r.emojis == nil {
		r.emojis = make(map[Emoji]int)
	}
	r.n += by
	if r.emojis[emoji] += by; r.emojis[emoji] == 0 {
		delete(r.emojis, emoji)
	}
}

func (r *Reactions) seqOf(key Reaction) Seq {
	if seq, ok := r.recent[key]; ok {
		return seq
	}
	return r.shared[key]
}

// Clone implements [State]. It copies the recent reactions only, and merges them into a new shared map once their number reaches about the square
// root of the shared ones: a hot message is cloned with every reaction.
func (r *Reactions) Clone() State {
	if len(r.recent) < 16 || len(r.recent)*len(r.recent) < len(r.shared) {
		return &Reactions{shared: r.shared, recent: maps.Clone(r.recent), emojis: maps.Clone(r.emojis), n: r.n}
	}
	all := make(map[Reaction]Seq, r.n)
	for key, seq := range r.All() {
		all[key] = seq
	}
	return &Reactions{shared: all, emojis: maps.Clone(r.emojis), n: r.n}
}

// All yields each reaction with the seq of its event, in no particular order.
func (r *Reactions) All() iter.Seq2[Reaction, Seq] {
	return func(yield func(Reaction, Seq) bool) {
		for key, seq := range r.recent {
			if seq > 0 && !yield(key, seq) {
				return
			}
		}
		for key, seq := range r.shared {
			if _, changed := r.recent[key]; !changed && !yield(key, seq) {
				return
			}
		}
	}
}

// Has reports whether the user's reaction is there.
func (r *Reactions) Has(user UserID, emoji Emoji) bool {
	return r.seqOf(Reaction{user, emoji.Normal()}) > 0
}

// Len is the number of reactions.
func (r *Reactions) Len() int { return r.n }

// Emojis is the number of distinct emojis.
func (r *Reactions) Emojis() int { return len(r.emojis) }

// With returns how many reactions have the emoji.
func (r *Reactions) With(emoji Emoji) int { return r.emojis[emoji] }

// Of returns the number of a user's reactions. Its cost grows with the number of distinct emoji.
func (r *Reactions) Of(user UserID) int {
	n := 0
	for emoji := range r.emojis {
		if r.Has(user, emoji) {
			n++
		}
	}
	return n
}

// ReactionCaps bound the reactions to one message. 0 is no bound.
type ReactionCaps struct {
	Emojis  int // distinct emojis
	PerUser int // reactions of one user
}

// Allow returns a [*CapError] if a further reaction of the user with the emoji to a message exceeds a cap.
func (r *Reactions) Allow(caps ReactionCaps, m MessageID, user UserID, emoji Emoji) error {
	if caps.Emojis > 0 && r.Emojis() >= caps.Emojis && r.With(emoji) == 0 {
		return &CapError{Cap: CapEmojis, Max: caps.Emojis, Detail: fmt.Sprintf("message %q has %d distinct emojis", m, r.Emojis())}
	}
	if n := r.Of(user); caps.PerUser > 0 && n >= caps.PerUser {
		return &CapError{Cap: CapReactions, Max: caps.PerUser, Detail: fmt.Sprintf("user %q has %d reactions to message %q", user, n, m)}
	}
	return nil
}

// ReactionGroup lists the users that reacted with one emoji.
type ReactionGroup struct {
	Emoji Emoji
	Users []UserID // in the order in which they reacted
}

// Groups lists the reactions by emoji, in the order in which each emoji first came.
func (r *Reactions) Groups() []ReactionGroup {
	type placed struct {
		Reaction
		seq Seq
	}
	all := make([]placed, 0, r.n)
	for key, seq := range r.All() {
		all = append(all, placed{key, seq})
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.Emoji, b.Emoji), cmp.Compare(a.User, b.User))
	})
	var groups []ReactionGroup
	place := make(map[Emoji]int)
	for _, r := range all {
		i, seen := place[r.Emoji]
		if !seen {
			i = len(groups)
			place[r.Emoji] = i
			groups = append(groups, ReactionGroup{Emoji: r.Emoji})
		}
		groups[i].Users = append(groups[i].Users, r.User)
	}
	return groups
}

// React puts a reaction. There already: no event.
func (c Chat) React(by Member, m Message, r *Reactions, emoji Emoji, at time.Time) ([]Durable, error) {
	if err := firstOf(c.allow(by, ActionReact, "react in", at), m.permit(by)); err != nil {
		return nil, err
	}
	switch {
	case c.Archived:
		return nil, refuse(ErrArchived, "chat %q takes no reactions until it is unarchived", c.ID)
	case m.Deleted():
		return nil, refuse(ErrMessageDeleted, "message %q was deleted by %q", m.ID, m.DeletedBy)
	case r.Has(by.User, emoji):
		return nil, nil
	}
	return c.reacted(by, m, emoji, ReactionAdd, at), nil
}

// Unreact takes the member's own reaction back, also in an archived chat. Not there: no event. A deletion has taken all reactions of the message
// with it, so of a tombstone there is none.
func (c Chat) Unreact(by Member, m Message, r *Reactions, emoji Emoji, at time.Time) ([]Durable, error) {
	if err := firstOf(c.permit(by, NoRole, "react in"), m.permit(by)); err != nil || m.Deleted() || !r.Has(by.User, emoji) {
		return nil, err
	}
	return c.reacted(by, m, emoji, ReactionRemove, at), nil
}

func (c Chat) reacted(by Member, m Message, emoji Emoji, action ReactionAction, at time.Time) []Durable {
	return []Durable{MessageReaction{Chat: c.ID, Message: m.ID, User: by.User, Emoji: emoji, Action: action, At: at}}
}
