package app

import (
	"context"

	"chatcore/app/projection"
	"chatcore/domain"
)

// UserPresence is the presence of one user, and of the users that share a chat with that user.
type UserPresence struct {
	presence *Presence
	models   *projection.Models
	user     domain.UserID
}

// Heartbeat is [Presence.Heartbeat] of the user.
func (u UserPresence) Heartbeat(ctx context.Context, device domain.DeviceID, conn domain.ConnectionID) error {
	return u.presence.Heartbeat(ctx, u.user, device, conn)
}

// Leave is [Presence.Leave] of the user.
func (u UserPresence) Leave(ctx context.Context, device domain.DeviceID, conn domain.ConnectionID) error {
	return u.presence.Leave(ctx, u.user, device, conn)
}

// SetStatus is [Presence.SetStatus] of the user.
func (u UserPresence) SetStatus(ctx context.Context, status domain.Status) (bool, error) {
	return u.presence.SetStatus(ctx, u.user, status)
}

// Statuses is [Presence.Statuses]. A user that shares no chat with the asking user is shown as one that was never seen: offline, with a zero LastSeen.
//
// The chats of users come from the built-in subscribers' read model, a moment behind the log. Beside the round trip of [Presence.Statuses] it takes one
// for the asking user's chats and one for those of each 64 other users; the log's server reads all chats of each of them. Statuses returns
// [projection.ErrNoViews] where no process has ever run the built-in subscribers, unless it is asked about the asking user alone.
func (u UserPresence) Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	visible, err := u.visible(ctx, users)
	if err != nil {
		return nil, err
	}
	statuses, err := u.presence.Statuses(ctx, users...)
	if err != nil {
		return nil, err
	}
	for i, user := range users {
		if _, ok := visible[user]; !ok {
			statuses[i] = domain.UserStatus{User: user, Status: domain.Offline}
		}
	}
	return statuses, nil
}

// IsOnline is [Presence.IsOnline]. A user that shares no chat with the asking user is not online. The cost and the errors are those of
// [UserPresence.Statuses].
func (u UserPresence) IsOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	visible, err := u.visible(ctx, users)
	if err != nil {
		return nil, err
	}
	online, err := u.presence.IsOnline(ctx, users...)
	if err != nil {
		return nil, err
	}
	for i, user := range users {
		_, ok := visible[user]
		online[i] = online[i] && ok
	}
	return online, nil
}

// visible returns those of the users whose presence the asking user may see: that user, and those who share a chat.
func (u UserPresence) visible(ctx context.Context, users []domain.UserID) (map[domain.UserID]struct{}, error) {
	if err := firstError(checkUsers([]domain.UserID{u.user}), checkUsers(users)); err != nil {
		return nil, err
	}
	return u.models.Sharers(ctx, u.user, users)
}
