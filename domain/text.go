package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the data of an event, in bytes unless said otherwise.
const (
	MaxContentBytes    = 16 << 10
	MaxTitleBytes      = 256
	MaxReasonBytes     = 1 << 10
	MaxEmojiBytes      = 64
	MaxClientMetaBytes = 4 << 10
	MaxAttachments     = 32        // references in one message
	MaxAttachmentSize  = 1<<53 - 1 // bytes of the file that an attachment names: the largest number that every JSON reader reads exactly
	MaxMentions        = 100
	MaxEventBytes      = 64 << 10 // one event as JSON
)

// Content is a message's text: valid UTF-8 without control characters other than tab and newline.
type Content string

// NewContent returns s as the text of a message, with LF where s has CRLF. The text must have 1 byte to 16 KiB and show something: text of only white
// space and invisible characters is blank.
func NewContent(s string) (Content, error) {
	const allowed = "1 byte to 16 KiB of valid UTF-8 that shows something, without control characters other than tab and newline"
	s = unixLines(s)
	if problem := textProblem(s, MaxContentBytes); problem != "" {
		return "", &InvalidError{Field: "content", Problem: problem, Allowed: allowed}
	}
	if showsNothing(s) {
		return "", &InvalidError{Field: "content", Problem: "is blank", Allowed: allowed}
	}
	return Content(s), nil
}

// Title is a chat's title; it may be empty.
type Title string

// NewTitle checks s as a chat's title.
func NewTitle(s string) (Title, error) {
	if problem := lineProblem(s, MaxTitleBytes); problem != "" {
		return "", &InvalidError{Field: "title", Problem: problem, Allowed: "at most 256 bytes of valid UTF-8 without control characters"}
	}
	return Title(s), nil
}

// Reason says why a message was deleted; it may be empty.
type Reason string

// NewReason returns s as the reason of a deletion, with LF where s has CRLF.
func NewReason(s string) (Reason, error) {
	s = unixLines(s)
	if problem := textProblem(s, MaxReasonBytes); problem != "" {
		return "", &InvalidError{
			Field: "reason", Problem: problem,
			Allowed: "at most 1 KiB of valid UTF-8 without control characters other than tab and newline",
		}
	}
	return Reason(s), nil
}

// Attachment refers to a file that is kept elsewhere.
type Attachment struct {
	Name string // as shown to people, at most 255 bytes
	Type string // media type, at most 127 bytes
	Size int64  // bytes
	URL  string // where it is kept, 1 to 2,048 bytes
}

// Check returns an [*InvalidError] if the reference is not valid.
func (a Attachment) Check() error {
	for _, part := range []struct {
		field, value string
		limit        int
		required     bool
	}{
		{"attachments.name", a.Name, 255, true},
		{"attachments.type", a.Type, 127, false},
		{"attachments.url", a.URL, 2048, true},
	} {
		problem := lineProblem(part.value, part.limit)
		if part.required && part.value == "" {
			problem = "is empty"
		}
		if problem != "" {
			return &InvalidError{
				Field: part.field, Problem: problem,
				Allowed: fmt.Sprintf("at most %d bytes of valid UTF-8 without control characters", part.limit),
			}
		}
	}
	if a.Size < 0 {
		return &InvalidError{Field: "attachments.size", Problem: "is negative", Allowed: "a number of bytes from 0"}
	}
	return nil
}

// unixLines returns s with LF where it has CRLF.
func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// textProblem checks text of several lines, lineProblem that of one.
func textProblem(s string, limit int) string {
	return problemOf(s, limit, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' })
}

func lineProblem(s string, limit int) string { return problemOf(s, limit, unicode.IsControl) }

func problemOf(s string, limit int, refused func(rune) bool) string {
	switch {
	case len(s) > limit:
		return fmt.Sprintf("has %d bytes", len(s))
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	}
	if i := strings.IndexFunc(s, refused); i >= 0 {
		return fmt.Sprintf("has a control character at byte %d", i)
	}
	return ""
}
