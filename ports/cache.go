package ports

import (
	"context"

	"chatcore/domain"
)

// CachedViews are what other programs cache of chats. Dropping what is not there is no error.
type CachedViews interface {
	DropMessage(ctx context.Context, id domain.MessageID) error
	DropChatLists(ctx context.Context, users ...domain.UserID) error
}
