package app

import (
	"context"

	"chatcore/domain"
)

// Unreact takes the user's own reaction back, also in an archived chat. Not there, it changes nothing; so it does of a deleted message, whose reactions
// went with it. The emoji may be any text that an older program recorded ([domain.RecordedEmoji]).
func (c *Chats) Unreact(ctx context.Context, cmd domain.React) (Done, error) {
	return c.react(ctx, "unreact", cmd, domain.RecordedEmoji, domain.Chat.Unreact)
}
