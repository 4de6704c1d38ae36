package app

import (
	"context"

	"chatcore/domain"
)

// Fingerprint is the log's fingerprint of a command.
func Fingerprint(name string, args [4]string) uint64 { return fingerprint(name, args) }

// Depart ends the membership of a user in one chat.
func Depart(ctx context.Context, c *Chats, chat domain.ChatID, user domain.UserID) error {
	_, err := c.depart(ctx, chat, user, departure{})
	return err
}
