package wireformat

import (
	"time"

	"chatcore/domain"
)

// sent writes the seq of the message that an event is about, unless it is unknown.
func (w *writer) sent(seq domain.Seq) {
	if seq != 0 {
		w.unsigned("messageSeq", uint64(seq))
	}
}

// thread writes the place of a message, unless it is in the main timeline alone.
func (w *writer) thread(root domain.MessageID, inChat bool) {
	w.optional("threadId", string(root))
	w.flag("inChat", inChat)
}

// settings writes the changed fields, and null for a default.
func (w *writer) settings(e domain.ChatSettings) {
	w.id("chatId", string(e.Chat))
	w.id("userId", string(e.User))
	if e.Notify != nil {
		w.choice("notify", *e.Notify == domain.NotifyDefault, notifyName(*e.Notify), names(domain.NotifyAll, notifyName))
	}
	switch {
	case e.MutedUntil == nil:
	case e.MutedUntil.IsZero():
		w.null("mutedUntil")
	default:
		w.instant("mutedUntil", *e.MutedUntil)
	}
	if e.Favourite != nil {
		w.boolean("favourite", *e.Favourite)
	}
	if e.Hidden != nil {
		w.choice("hidden", *e.Hidden == domain.Shown, hidingName(*e.Hidden), names(domain.HiddenUntilMessage, hidingName))
	}
	if e.HiddenSeq != 0 {
		w.unsigned("hiddenSeq", uint64(e.HiddenSeq))
	}
	if e.UnreadSeq != nil {
		w.unsigned("unreadSeq", uint64(*e.UnreadSeq))
	}
}

// choice writes the name of a value, or null for the default.
func (w *writer) choice(field string, byDefault bool, name string, allowed []string) {
	if byDefault {
		w.null(field)
		return
	}
	w.name(field, name, allowed)
}

func (w *writer) threadMark(e domain.ThreadMark) {
	w.id("threadId", string(e.Thread))
	w.id("chatId", string(e.Chat))
	w.id("userId", string(e.User))
	if e.ReadSeq != 0 {
		w.unsigned("readSeq", uint64(e.ReadSeq))
		w.id("messageId", string(e.Message))
	}
	switch e.Following {
	case domain.FollowingUnchanged:
	case domain.FollowingDefault:
		w.null("following")
	case domain.Follow, domain.Unfollow:
		w.boolean("following", e.Following == domain.Follow)
	default:
		w.refuse("following", "has a value without a name", "true, false, null")
	}
}

func (r *reader) sent(required bool) domain.Seq {
	if _, there := r.raw("messageSeq"); !there && !required {
		return 0
	}
	return domain.Seq(r.unsigned("messageSeq", 1, true))
}

func (r *reader) thread() domain.MessageID {
	return optional(r, "threadId", domain.ParseMessageID)
}

func (r *reader) settings(e domain.ChatSettings) domain.ChatSettings {
	e.Notify = choice(r, "notify", domain.NotifyAll, notifyName)
	if r.isNull("mutedUntil") {
		e.MutedUntil = new(time.Time)
	} else if until := r.optionalInstant("mutedUntil"); !until.IsZero() {
		e.MutedUntil = &until
	}
	if _, there := r.raw("favourite"); there {
		favourite := r.flag("favourite")
		e.Favourite = &favourite
	}
	e.Hidden = choice(r, "hidden", domain.HiddenUntilMessage, hidingName)
	e.HiddenSeq = domain.Seq(r.unsigned("hiddenSeq", 1, false))
	if _, there := r.raw("unreadSeq"); there {
		seq := domain.Seq(r.unsigned("unreadSeq", 0, true))
		e.UnreadSeq = &seq
	}
	return e
}

// choice reads the name of a value. It returns nil if the field is missing, and the zero value for null.
func choice[T ~uint8](r *reader, field string, first T, nameOf func(T) string) *T {
	if r.isNull(field) {
		return new(T)
	}
	if value := enum(r, field, false, first, nameOf); value != 0 {
		return &value
	}
	return nil
}

func (r *reader) threadMark(e domain.ThreadMark) domain.ThreadMark {
	if e.ReadSeq = domain.Seq(r.unsigned("readSeq", 1, false)); e.ReadSeq != 0 {
		e.Message = id(r, "messageId", domain.ParseMessageID)
	}
	switch _, there := r.raw("following"); {
	case r.isNull("following"):
		e.Following = domain.FollowingDefault
	case !there:
	case r.flag("following"):
		e.Following = domain.Follow
	default:
		e.Following = domain.Unfollow
	}
	return e
}
