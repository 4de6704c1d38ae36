package domain

import (
	"fmt"
	"strings"
	"time"
)

// Limits of sessions.
const (
	MaxDeviceNameBytes = 128
	MaxUserAgentBytes  = 512
	MaxIPBytes         = 64
	MaxSessionsPerUser = 1000
)

// SessionID names a session of a user, for the user to close it from elsewhere. It is no secret.
type SessionID string

// Device describes the device that a session was opened on. All of it may be empty, and all but the id is free text.
type Device struct {
	ID        DeviceID
	Name      string // at most 128 bytes
	UserAgent string // at most 512 bytes
	IP        string // at most 64 bytes
}

// Check returns an [*InvalidError] if the device is not valid.
func (d Device) Check() error {
	if d.ID != "" {
		if _, err := ParseDeviceID(string(d.ID)); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		field, value string
		limit        int
	}{
		{"device.name", d.Name, MaxDeviceNameBytes},
		{"device.userAgent", d.UserAgent, MaxUserAgentBytes},
		{"device.ip", d.IP, MaxIPBytes},
	} {
		if problem := lineProblem(part.value, part.limit); problem != "" {
			return &InvalidError{
				Field: part.field, Problem: problem,
				Allowed: fmt.Sprintf("at most %d bytes of valid UTF-8 without control characters", part.limit),
			}
		}
	}
	return nil
}

// Session is one login of a user. The bearer of its secret acts as the user until the session is closed, is unused for the idle time, or ends. A
// session that another program opened (in compat mode) has neither id nor times.
type Session struct {
	ID       SessionID
	User     UserID
	Device   Device
	OpenedAt time.Time
	SeenAt   time.Time // of the last use that was noted
	EndsAt   time.Time // regardless of use
	Idle     time.Duration
}

// SessionPolicy says how long sessions live that are opened by it, and how many of them.
type SessionPolicy struct {
	Idle     time.Duration // without being used
	Lifetime time.Duration // used or not
	PerUser  int           // live ones; one more closes the one that was opened first
}

// Open is a session as it begins.
func (p SessionPolicy) Open(id SessionID, user UserID, device Device, at time.Time) Session {
	return Session{ID: id, User: user, Device: device, OpenedAt: at, SeenAt: at, EndsAt: at.Add(p.Lifetime), Idle: p.Idle}
}

// Alive reports whether the session can be used.
func (s Session) Alive(at time.Time) bool {
	return at.Before(s.EndsAt) && at.Before(s.SeenAt.Add(s.Idle))
}

// Use is the session after a use. The use is noted if a tenth of the idle time has passed since the last one that was, so that most uses
// write nothing; and if the clock has been put back, so that no session lives for longer than the idle time from now. One that was opened after
// now counts as opened now, so that none lives for longer than its lifetime from now either.
func (s Session) Use(at time.Time) (used Session, noted bool) {
	if since := at.Sub(s.SeenAt); since >= 0 && since < s.Idle/10 {
		return s, false
	}
	s.SeenAt = at
	if s.OpenedAt.After(at) {
		s.EndsAt, s.OpenedAt = at.Add(s.EndsAt.Sub(s.OpenedAt)), at
	}
	return s, true
}

// ExpiresAt is when the session ends if it is not used again.
func (s Session) ExpiresAt() time.Time {
	if idle := s.SeenAt.Add(s.Idle); idle.Before(s.EndsAt) {
		return idle
	}
	return s.EndsAt
}

const allowedSession = "1 to 64 letters, digits, - and _"

// ParseSessionID checks s as a session's id.
func ParseSessionID(s string) (SessionID, error) {
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		return "", &InvalidError{Field: "sessionId", Problem: fmt.Sprintf("is %.80q", s), Allowed: allowedSession}
	}
	return SessionID(s), nil
}
