package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxIDBytes is the longest id of any kind, in bytes.
const MaxIDBytes = 128

// Ids are 1 to 128 bytes of printable UTF-8 without spaces and without invisible characters, such as joiners and variation selectors, by which two ids
// could look the same. They are compared byte by byte; no normalisation is done.
type (
	// ChatID names a chat.
	ChatID string
	// UserID names a user across all chats.
	UserID string
	// MessageID names a message within its chat. Sending it again is the same send.
	MessageID string
	// CommandID names a command of one actor within its chat. Giving it again is the same command.
	CommandID string
	// EventID names one recorded event, everywhere and for ever.
	EventID string
	// DeviceID names one of a user's devices.
	DeviceID string
	// ConnectionID names one of a device's connections.
	ConnectionID string
	// CustomID names a custom entity within a chat.
	CustomID string
)

// Seq is an event's place in its chat's log: dense, from 1. As an entity's version it is the seq of the last event that moved the
// entity, 0 if none did.
type Seq uint64

// Ordinal counts the messages of a chat: a message's ordinal is its place among them, any other event's the number before it.
type Ordinal uint64

const allowedID = "1 to 128 bytes of printable UTF-8 without spaces and invisible characters"

// ParseChatID checks s as a chat id.
func ParseChatID(s string) (ChatID, error) { return parseID[ChatID]("chatId", s) }

// ReservedChatID returns an [*InvalidError] for an id that the core may give to a chat itself later: dm- and 64 hex digits. Chats that have such an id
// already are chats like any other.
func ReservedChatID(id ChatID) error {
	const digits = 64
	hex, direct := strings.CutPrefix(string(id), "dm-")
	if !direct || len(hex) != digits || strings.Trim(hex, "0123456789abcdefABCDEF") != "" {
		return nil
	}
	return &InvalidError{Field: "chatId", Problem: "is " + string(id) + ", which is reserved", Allowed: "any id but dm- and 64 hex digits"}
}

// ParseUserID checks s as a user id.
func ParseUserID(s string) (UserID, error) { return parseID[UserID]("userId", s) }

// ParseMessageID checks s as a message id.
func ParseMessageID(s string) (MessageID, error) { return parseID[MessageID]("messageId", s) }

// ParseCommandID checks s as a command id.
func ParseCommandID(s string) (CommandID, error) { return parseID[CommandID]("commandId", s) }

// ParseEventID checks s as an event id.
func ParseEventID(s string) (EventID, error) { return parseID[EventID]("eventId", s) }

// ParseDeviceID checks s as a device id.
func ParseDeviceID(s string) (DeviceID, error) { return parseID[DeviceID]("deviceId", s) }

// ParseConnectionID returns s as a connection id.
func ParseConnectionID(s string) (ConnectionID, error) {
	return parseID[ConnectionID]("connectionId", s)
}

// ParseCustomID checks s as the id of a custom entity.
func ParseCustomID(s string) (CustomID, error) { return parseID[CustomID]("entity", s) }

func parseID[ID ~string](field, s string) (ID, error) {
	if problem := idProblem(s); problem != "" {
		return "", &InvalidError{Field: field, Problem: problem, Allowed: allowedID}
	}
	return ID(s), nil
}

func idProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > MaxIDBytes:
		return fmt.Sprintf("has %d bytes", len(s))
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || invisible(r) }); i >= 0 {
		return fmt.Sprintf("has a space, an unprintable or an invisible character at byte %d", i)
	}
	return ""
}
