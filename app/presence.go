package app

import (
	"context"
	"fmt"
	"iter"

	"chatcore/domain"
	"chatcore/ports"
)

// Presence records heartbeats and chosen statuses, and lists online users. It checks no membership and shows every user to every caller: code that
// answers users must use Core.As, whose presence shows only users that share a chat.
type Presence struct {
	presence ports.Presence
	statuses ports.Statuses
}

// NewPresence puts the use cases on the given ports.
func NewPresence(presence ports.Presence, statuses ports.Statuses) *Presence {
	return &Presence{presence: presence, statuses: statuses}
}

// Heartbeat records that a connection of one of the user's devices is alive. conn distinguishes connections of one device that live
// independently, such as the old and the new one during a reconnect; it may be empty, which stands for the device itself. Callers must repeat the
// heartbeat within a third of its lifetime. A device is online while one of its connections has a live heartbeat; a user is offline when the last
// heartbeat has ended. It returns a [domain.InvalidError] for malformed ids.
func (p *Presence) Heartbeat(ctx context.Context, user domain.UserID, device domain.DeviceID, conn domain.ConnectionID) error {
	c := domain.Connection{Device: device, ID: conn}
	if err := checkConnection(user, c); err != nil {
		return err
	}
	_, err := p.presence.Heartbeat(ctx, user, c, ports.Meta{})
	return err
}

// Leave ends the heartbeat of exactly this connection at once. Other connections of the device keep theirs, so that the late leave of an
// old connection does not take a device offline. Leave does nothing if the connection has no live heartbeat.
func (p *Presence) Leave(ctx context.Context, user domain.UserID, device domain.DeviceID, conn domain.ConnectionID) error {
	c := domain.Connection{Device: device, ID: conn}
	if err := checkConnection(user, c); err != nil {
		return err
	}
	_, err := p.presence.Leave(ctx, user, c, ports.Meta{})
	return err
}

func checkConnection(user domain.UserID, c domain.Connection) error {
	if _, err := domain.ParseUserID(string(user)); err != nil {
		return err
	}
	return c.Check()
}

// SetStatus sets the status that a user shows while online; [domain.Offline] hides the user. The choice survives an absence that is shorter than
// Config.Presence.DevicesTTL, counted from the end of the last heartbeat or from the choice if that was later; after that the user shows [domain.Online] again.
// SetStatus reports whether it published a transition: for a user that is not online there is none, and the choice shows with the next heartbeat.
func (p *Presence) SetStatus(ctx context.Context, user domain.UserID, status domain.Status) (bool, error) {
	if _, err := domain.ParseUserID(string(user)); err != nil {
		return false, err
	}
	if status > domain.Busy {
		return false, &domain.InvalidError{Field: "status", Problem: fmt.Sprintf("is %d", status), Allowed: "offline, online, away, busy"}
	}
	published, err := p.presence.SetStatus(ctx, user, status, ports.Meta{})
	return published != nil, err
}

// Statuses returns the users' statuses in the order of users, in one round trip; see [ports.Statuses].
func (p *Presence) Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	if err := checkUsers(users); err != nil {
		return nil, err
	}
	return p.statuses.Statuses(ctx, users...)
}

// IsOnline reports for each user, in the order of users, whether the user is online and not hidden, in one round trip.
func (p *Presence) IsOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	if err := checkUsers(users); err != nil {
		return nil, err
	}
	return p.statuses.AreOnline(ctx, users...)
}

// Online yields the users that are online and not hidden; see [ports.Statuses].
func (p *Presence) Online(ctx context.Context) iter.Seq2[domain.UserID, error] {
	return p.statuses.Online(ctx)
}
