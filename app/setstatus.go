package app

import (
	"context"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// StatusTTL is how long a status holds without being set again.
const StatusTTL = 300 * time.Second

// Users are the commands about users, apart from any chat.
type Users struct {
	statuses ports.Statuses
	live     ports.LiveBus
	clock    ports.Clock
}

// NewUsers puts the use cases on the given ports.
func NewUsers(statuses ports.Statuses, live ports.LiveBus, clock ports.Clock) *Users {
	return &Users{statuses: statuses, live: live, clock: clock}
}

// SetStatus says how available a user is.
type SetStatus struct {
	User   domain.UserID
	Status domain.Status
}

// SetStatus remembers a user's status for [StatusTTL] and, if it is another than before, tells who listens; it reports whether it was.
func (u *Users) SetStatus(ctx context.Context, cmd SetStatus) (bool, error) {
	if _, err := domain.ParseUserID(string(cmd.User)); err != nil {
		return false, err
	}
	if cmd.Status > domain.Busy {
		return false, &domain.InvalidError{Field: "status", Problem: fmt.Sprintf("is %d", cmd.Status), Allowed: "offline, online, away, busy"}
	}
	at := domain.Instant(u.clock.Now())
	event := domain.UserStatus{User: cmd.User, Status: cmd.Status, LastSeen: at, At: at}
	before, err := u.statuses.Swap(ctx, event, StatusTTL)
	if err != nil || before == cmd.Status {
		return false, err
	}
	return true, u.live.Publish(ctx, event, ports.Meta{})
}
