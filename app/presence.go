package app

import (
	"context"
	"fmt"
	"iter"

	"chatcore/domain"
	"chatcore/ports"
)

// Presence is who is there: what devices and users say of it, and questions about it.
type Presence struct {
	presence ports.Presence
	statuses ports.Statuses
}

// NewPresence puts the use cases on the given ports.
func NewPresence(presence ports.Presence, statuses ports.Statuses) *Presence {
	return &Presence{presence: presence, statuses: statuses}
}

// Heartbeat says that one of a user's devices is there. It is to be repeated within a third of the time that a heartbeat lives; when the
// last one of a user has ended, the user is offline.
func (p *Presence) Heartbeat(ctx context.Context, user domain.UserID, device domain.DeviceID) error {
	if err := checkDevice(user, device); err != nil {
		return err
	}
	_, err := p.presence.Beat(ctx, user, device, ports.Meta{})
	return err
}

// Leave says that a device is there no longer; it need not have been.
func (p *Presence) Leave(ctx context.Context, user domain.UserID, device domain.DeviceID) error {
	if err := checkDevice(user, device); err != nil {
		return err
	}
	_, err := p.presence.Leave(ctx, user, device, ports.Meta{})
	return err
}

func checkDevice(user domain.UserID, device domain.DeviceID) error {
	if _, err := domain.ParseUserID(string(user)); err != nil {
		return err
	}
	_, err := domain.ParseDeviceID(string(device))
	return err
}

// SetStatus chooses what a user shows while there; [domain.Offline] hides the user until the last device is gone. It reports whether that
// was a transition, and told: of someone who is not there it is not, and shows when a device comes.
func (p *Presence) SetStatus(ctx context.Context, user domain.UserID, status domain.Status) (bool, error) {
	if _, err := domain.ParseUserID(string(user)); err != nil {
		return false, err
	}
	if status > domain.Busy {
		return false, &domain.InvalidError{Field: "status", Problem: fmt.Sprintf("is %d", status), Allowed: "offline, online, away, busy"}
	}
	told, err := p.presence.Choose(ctx, user, status, ports.Meta{})
	return told != nil, err
}

// Statuses gives users' statuses in the order of users, in one round trip; see [ports.Statuses].
func (p *Presence) Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	if err := checkUsers(users); err != nil {
		return nil, err
	}
	return p.statuses.Of(ctx, users...)
}

// IsOnline reports for each user, in the order of users, whether it is there and not hidden, in one round trip.
func (p *Presence) IsOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	if err := checkUsers(users); err != nil {
		return nil, err
	}
	return p.statuses.AreOnline(ctx, users...)
}

// Online yields who is there and not hidden; see [ports.Statuses].
func (p *Presence) Online(ctx context.Context) iter.Seq2[domain.UserID, error] {
	return p.statuses.Online(ctx)
}
