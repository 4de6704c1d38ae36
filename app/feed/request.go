package feed

import (
	"fmt"

	"chatcore/domain"
)

// Request says what a feed follows.
type Request struct {
	// User is the reader. The feed then follows only chats that the user is a member of, each until the user's removal. It gives the events of messages
	// that are deleted without their content. "" is a service that reads everything, of named chats.
	User domain.UserID

	// Chats are the chats to follow, with the reader's position in each. At most Config.MaxChats.
	Chats []Position

	// AllChats follows all chats of User, also those that User joins meanwhile. Chats may then hold the positions of some of them, from an earlier feed:
	// chats that are not among them begin at the event with which User became a member if Resume is set, and at their head otherwise.
	AllChats bool

	// Resume says that Chats are all positions of an earlier feed of all chats.
	Resume bool

	// LogID is the log to which the positions belong, "" for the present one. A feed with positions of another log begins with a resync message.
	LogID string

	// MaxCatchUp is the most events of a chat that the feed gives from the log at its beginning; older ones are skipped. 0 is Config.MaxCatchUp, which
	// is also the most.
	MaxCatchUp int

	// DurableOnly leaves typing and status events out.
	DurableOnly bool
}

// Position is the place of a reader in a chat.
type Position struct {
	Chat domain.ChatID
	Seq  domain.Seq // the last seq that the reader has
	Head bool       // from the chat's head on, instead of from Seq
}

// check returns an error for a request that is malformed, or that names too many chats.
func (r Request) check(c Config) error {
	if r.User != "" {
		if _, err := domain.ParseUserID(string(r.User)); err != nil {
			return err
		}
	}
	switch {
	case r.AllChats && r.User == "":
		return &domain.InvalidError{Field: "allChats", Problem: "has no user", Allowed: "together with a user"}
	case r.Resume && !r.AllChats:
		return &domain.InvalidError{Field: "resume", Problem: "is set for named chats", Allowed: "together with all chats"}
	case len(r.Chats) == 0 && !r.AllChats:
		return &domain.InvalidError{Field: "chats", Problem: "is empty", Allowed: fmt.Sprintf("1 to %d chats, or all chats of a user", c.MaxChats)}
	case len(r.Chats) > c.MaxChats:
		return tooManyChats("chats", len(r.Chats), c.MaxChats)
	case r.MaxCatchUp < 0 || r.MaxCatchUp > c.MaxCatchUp:
		return &domain.InvalidError{Field: "maxCatchUp", Problem: fmt.Sprintf("is %d", r.MaxCatchUp), Allowed: fmt.Sprintf("0 to %d", c.MaxCatchUp)}
	}
	named := make(map[domain.ChatID]struct{}, len(r.Chats))
	for _, position := range r.Chats {
		if _, err := domain.ParseChatID(string(position.Chat)); err != nil {
			return err
		}
		if _, twice := named[position.Chat]; twice {
			return &domain.InvalidError{Field: "chats", Problem: fmt.Sprintf("has chat %q twice", position.Chat), Allowed: "each chat once"}
		}
		named[position.Chat] = struct{}{}
	}
	return nil
}

func tooManyChats(field string, n, most int) error {
	return &domain.InvalidError{Field: field, Problem: fmt.Sprintf("has %d chats", n), Allowed: fmt.Sprintf("at most %d", most)}
}
