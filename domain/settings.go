package domain

import "time"

// NotifyLevel is which messages of a chat a user is notified of.
type NotifyLevel uint8

// The levels of notification.
const (
	NotifyDefault  NotifyLevel = iota // that of the kind of chat
	NotifyAll                         // every message of the main timeline
	NotifyMentions                    // mentions, and replies in threads that the user follows
	NotifyNone
)

// Hiding is whether a user's chat list leaves a chat out.
type Hiding uint8

// The hidings of a chat.
const (
	Shown              Hiding = iota
	HiddenUntilMessage        // until the next message of the main timeline
	HiddenAlways              // until the user shows it again
)

// Settings are the settings of one user for a chat. They outlast the membership: they apply again once the user is a member again.
type Settings struct {
	Version    Seq // of the last change
	Notify     NotifyLevel
	MutedUntil time.Time // when notifications are no longer muted; zero if they are not
	Favourite  bool
	Hidden     Hiding
	HiddenSeq  Seq // with HiddenUntilMessage: the last seq of the chat when it was hidden
	UnreadSeq  Seq // of the first message that counts as unread, 0 if the read mark alone counts
	UnreadAt   Seq // of the change that set UnreadSeq
}

// Apply folds an event that moved the settings.
func (s *Settings) Apply(seq Seq, e Durable) {
	change, ok := e.(ChatSettings)
	if !ok {
		return
	}
	s.Version = seq
	set(&s.Notify, change.Notify)
	set(&s.MutedUntil, change.MutedUntil)
	set(&s.Favourite, change.Favourite)
	if change.Hidden != nil {
		s.Hidden, s.HiddenSeq = *change.Hidden, change.HiddenSeq
	}
	if change.UnreadSeq != nil {
		s.UnreadSeq, s.UnreadAt = *change.UnreadSeq, seq
	}
}

// set sets a field to a value, if there is one.
func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Clone implements [State].
func (s *Settings) Clone() State {
	clone := *s
	return &clone
}

// Muted reports whether notifications are muted at a time.
func (s Settings) Muted(at time.Time) bool { return at.Before(s.MutedUntil) }

// Silent reports whether the user wants to know of no message at a time.
func (s Settings) Silent(at time.Time) bool { return s.Muted(at) || s.Notify == NotifyNone }

// Hides reports whether a chat list leaves the chat out. last is the seq of the last message of the main timeline, or of the user's join if that is later.
func (s Settings) Hides(last Seq) bool {
	return s.Hidden == HiddenAlways || s.Hidden == HiddenUntilMessage && last <= s.HiddenSeq
}

// MarkedUnread reports whether messages from UnreadSeq on count as unread, whatever the read mark says. moved is the version of the user's read mark: a receipt, or a
// message of the user in the main timeline, ends it.
func (s Settings) MarkedUnread(moved Seq) bool { return s.UnreadSeq > 0 && s.UnreadAt > moved }

// UnreadAfter returns after which seq messages count as unread for a member with these settings. moved is the version of the read mark.
func (s Settings) UnreadAfter(m Member, mark ReadMark, moved Seq) Seq {
	if s.MarkedUnread(moved) {
		return max(m.Since, s.UnreadSeq-1)
	}
	return max(m.Since, mark.Seq)
}

// SettingsChange is a change of settings. Fields that are nil stay as they are.
type SettingsChange struct {
	Notify     *NotifyLevel
	MutedUntil *time.Time // zero ends it
	Favourite  *bool
	Hidden     *Hiding
	UnreadFrom *MessageID // the first message that counts as unread, also for a user who has read it; "" takes it back
}

// Check returns an [*InvalidError] if the change is not valid.
func (c SettingsChange) Check() error {
	switch {
	case c == SettingsChange{}:
		return &InvalidError{Field: "settings", Problem: "change nothing", Allowed: "notify, mutedUntil, favourite, hidden, unreadFrom, or some of them"}
	case c.Notify != nil && *c.Notify > NotifyNone:
		return &InvalidError{Field: "notify", Problem: "is " + c.Notify.String(), Allowed: "default, all, mentions, none"}
	case c.Hidden != nil && *c.Hidden > HiddenAlways:
		return &InvalidError{Field: "hidden", Problem: "is " + c.Hidden.String(), Allowed: "shown, untilMessage, always"}
	case c.MutedUntil != nil && (c.MutedUntil.Year() > 9999 || !c.MutedUntil.IsZero() && c.MutedUntil.Year() < 1970):
		return &InvalidError{Field: "mutedUntil", Problem: "is " + c.MutedUntil.Format(time.RFC3339), Allowed: "a time in the years 1970 to 9999, or none"}
	}
	return nil
}

// Change changes the settings of a member for a chat. from is the message that UnreadFrom names, and head the last seq of the chat. Fields that have the value already are left
// out; without others there is no event. A message from before the join is [ErrSeqRange].
func (s Settings) Change(chat ChatID, by Member, c SettingsChange, from Message, head Seq, at time.Time) ([]Durable, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if !by.Current() {
		return nil, NotMember(chat, by.User)
	}
	e := ChatSettings{Chat: chat, User: by.User, Notify: differing(s.Notify, c.Notify), Favourite: differing(s.Favourite, c.Favourite), At: at}
	if c.MutedUntil != nil && !instantOrZero(*c.MutedUntil).Equal(s.MutedUntil) {
		e.MutedUntil = new(instantOrZero(*c.MutedUntil))
	}
	s.hide(&e, c.Hidden, head)
	if err := s.markUnread(&e, c.UnreadFrom, from, by); err != nil {
		return nil, err
	}
	if e.Notify == nil && e.MutedUntil == nil && e.Favourite == nil && e.Hidden == nil && e.UnreadSeq == nil {
		return nil, nil
	}
	return []Durable{e}, nil
}

// Show returns the event that shows the chat of a member again, or none if it is not hidden.
func (s Settings) Show(chat ChatID, user UserID, at time.Time) []Durable {
	if s.Hidden == Shown {
		return nil
	}
	return []Durable{ChatSettings{Chat: chat, User: user, Hidden: new(Shown), At: at}}
}

// differing returns the value that a field is to have, or nil if it has it.
func differing[T comparable](field T, value *T) *T {
	if value == nil || *value == field {
		return nil
	}
	return value
}

// hide sets how an event hides the chat. A chat that was hidden until the next message is hidden again if anything but that has happened since.
func (s Settings) hide(e *ChatSettings, hidden *Hiding, head Seq) {
	switch {
	case hidden == nil:
	case *hidden == HiddenUntilMessage && (s.Hidden != *hidden || head > s.HiddenSeq+1):
		e.Hidden, e.HiddenSeq = hidden, head
	default:
		e.Hidden = differing(s.Hidden, hidden)
	}
}

// markUnread sets from which message on an event has messages count as unread.
func (s Settings) markUnread(e *ChatSettings, id *MessageID, from Message, by Member) error {
	switch {
	case id == nil:
		return nil
	case *id == "":
		e.UnreadSeq = differing(s.UnreadSeq, new(Seq))
		return nil
	case !from.Exists():
		return from.notFound()
	case from.Seq < by.Since:
		return refuse(ErrSeqRange, "message %q of chat %q has seq %d, user %q joined at %d", from.ID, from.Chat, from.Seq, by.User, by.Since)
	}
	e.UnreadSeq = &from.Seq
	return nil
}
