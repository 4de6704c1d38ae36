package domain

import (
	"fmt"
	"regexp"
	"time"
)

// CustomType names a type of custom events: parts of lower case letters, digits, dots, dashes and underscores, with colons between
// them, two at least, and 64 bytes at most: "poll:created".
type CustomType string

const (
	maxOwnType     = 64
	allowedOwnType = `at most 64 bytes, two or more parts of a-z, 0-9, ".", "-" and "_" with colons between them, such as poll:created`
)

// ParseCustomType checks s as the name of a type. The codec refuses the types of the core's events.
func ParseCustomType(s string) (CustomType, error) {
	const part = `[a-z0-9._-]+`
	if len(s) > maxOwnType || !regexp.MustCompile(`^`+part+`(:`+part+`)+$`).MatchString(s) {
		return "", &InvalidError{Field: "type", Problem: fmt.Sprintf("is %.80q", s), Allowed: allowedOwnType}
	}
	return CustomType(s), nil
}

// Record decides on a custom event: a member may record it, in a chat that is not archived.
func (c Chat) Record(by Member, e Custom, at time.Time) ([]Durable, error) {
	if err := c.allow(by, ActionRecord, "record "+string(e.Type)+" in", at); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no events until it is unarchived", c.ID)
	}
	e.Chat, e.Actor, e.At = c.ID, by.User, at
	return []Durable{e}, nil
}
