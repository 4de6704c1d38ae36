package domain

import (
	"fmt"
	"time"
)

// MaxHolds is the highest number of legal holds on one subject.
const MaxHolds = 64

// HoldID names a legal hold on its subject, such as the number of a case.
type HoldID string

// ParseHoldID checks s as the id of a hold.
func ParseHoldID(s string) (HoldID, error) { return parseID[HoldID]("holdId", s) }

// HoldSubject is what a legal hold protects from erasure: a chat, the messages that a user has sent, or, if both fields are empty, the whole log.
type HoldSubject struct {
	Chat ChatID
	User UserID
}

// String returns "chat ID", "user ID" or "the log".
func (s HoldSubject) String() string {
	switch {
	case s.Chat != "":
		return fmt.Sprintf("chat %q", s.Chat)
	case s.User != "":
		return fmt.Sprintf("user %q", s.User)
	}
	return "the log"
}

// Check returns an [*InvalidError] for ids that are not valid, and for a chat and a user together.
func (s HoldSubject) Check() error {
	if s.Chat != "" && s.User != "" {
		return &InvalidError{Field: "hold", Problem: "has a chat and a user", Allowed: "one of them, or neither for the log"}
	}
	var err error
	switch {
	case s.Chat != "":
		_, err = ParseChatID(string(s.Chat))
	case s.User != "":
		_, err = ParseUserID(string(s.User))
	}
	return err
}

// SubjectsOf returns the subjects whose holds protect a message of a chat that a user has sent.
func SubjectsOf(chat ChatID, sender UserID) [3]HoldSubject {
	return [...]HoldSubject{{}, {Chat: chat}, {User: sender}}
}

// Hold is a legal hold. No command and no retention erases what it protects; sends, edits and deletions work as ever, because they erase nothing.
type Hold struct {
	HoldSubject
	ID     HoldID
	Reason Reason // for the operators; no error shows it
	By     UserID // user or service that set it
	At     time.Time
}

// Check returns an [*InvalidError] for a hold that cannot be set.
func (h Hold) Check() error {
	if err := h.HoldSubject.Check(); err != nil {
		return err
	}
	if _, err := ParseHoldID(string(h.ID)); err != nil {
		return err
	}
	if h.Reason == "" {
		return &InvalidError{Field: "reason", Problem: "is empty", Allowed: "the reason of the hold"}
	}
	if _, err := NewReason(string(h.Reason)); err != nil {
		return err
	}
	_, err := ParseUserID(string(h.By))
	return err
}

// LegalHoldError names what is under a legal hold.
type LegalHoldError struct{ HoldSubject }

func (e *LegalHoldError) Error() string {
	return e.String() + " is under a legal hold; allowed: an erasure after all of its holds were removed"
}

// Is reports that a LegalHoldError is [ErrLegalHold].
func (e *LegalHoldError) Is(target error) bool { return target == ErrLegalHold }
