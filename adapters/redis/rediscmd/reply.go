package rediscmd

import (
	"context"
	"strconv"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// LeadingNumber parses the digits with which a text begins.
func LeadingNumber(kept string) (uint64, bool) {
	end := strings.IndexFunc(kept, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(kept)
	}
	version, err := strconv.ParseUint(kept[:end], 10, 64)
	return version, err == nil
}

// Text returns a string in the reply of a script, or "" for anything else.
func Text(v any) string {
	s, _ := v.(string)
	return s
}

// ReadError translates the error of a command that reads a chat.
func ReadError(ctx context.Context, chat domain.ChatID, err error) error {
	if Answered(err) && HasCode(err, "WRONGTYPE") {
		return &ports.CorruptError{Chat: chat, Cause: err}
	}
	return Unavailable(ctx, err)
}
