package domain

import (
	"maps"
	"slices"
	"time"
)

// MaxConnections is the number of heartbeats that are kept for a user. Beyond it, the heartbeat that would end first is dropped.
const MaxConnections = 100

// Connection names one source of a user's heartbeats: a device, and one of its connections. An empty ID stands for the device
// itself; it is a connection like any other.
type Connection struct {
	Device DeviceID
	ID     ConnectionID
}

// Check returns an [InvalidError] if an id of the connection is malformed.
func (c Connection) Check() error {
	if _, err := ParseDeviceID(string(c.Device)); err != nil {
		return err
	}
	if c.ID == "" {
		return nil
	}
	_, err := ParseConnectionID(string(c.ID))
	return err
}

func (c Connection) before(d Connection) bool {
	return c.Device < d.Device || c.Device == d.Device && c.ID < d.ID
}

// Presence is the presence of one user, folded from the heartbeats of the user's connections. A device is online while at least one of its
// connections has a live heartbeat, and a user while at least one device is. The zero value of all fields but User is the presence of a user that was
// never seen.
type Presence struct {
	User        UserID
	Chosen      Status // shown while online: Online, Away, Busy, or Offline, which hides the user
	Published   Status // published last
	LastSeen    time.Time
	Connections map[Connection]time.Time // when each heartbeat ends; read-only for callers
	AbsentSince time.Time                // when the last heartbeat ended, or the last choice after that; zero while there are heartbeats
}

// Heartbeat records a heartbeat that lives for life. It discards the chosen status of a user that was absent for kept or longer: the user shows Online.
// Beat returns the presence from then on, and the transition if there was one.
func (p Presence) Heartbeat(c Connection, life, kept time.Duration, at time.Time) (Presence, []Ephemeral) {
	p = p.expired(at)
	if len(p.Connections) == 0 && p.choiceEnded(kept, at) {
		p.Chosen = Online
	}
	p.Connections[c] = at.Add(life)
	for len(p.Connections) > MaxConnections {
		delete(p.Connections, p.first(c))
	}
	p.LastSeen, p.AbsentSince = at, time.Time{}
	return p.transition(at)
}

// Leave ends the heartbeat of one connection at once. The other connections of its device keep theirs.
func (p Presence) Leave(c Connection, at time.Time) (Presence, []Ephemeral) {
	p = p.expired(at)
	if _, live := p.Connections[c]; live {
		delete(p.Connections, c)
		p.LastSeen = at
		if len(p.Connections) == 0 {
			p.AbsentSince = at
		}
	}
	return p.transition(at)
}

// Set chooses the status that the user shows while online.
func (p Presence) Set(s Status, at time.Time) (Presence, []Ephemeral) {
	p = p.expired(at)
	p.Chosen = s
	if len(p.Connections) > 0 {
		p.LastSeen = at
	} else {
		p.AbsentSince = at
	}
	return p.transition(at)
}

// Expire drops the heartbeats that have ended.
func (p Presence) Expire(at time.Time) (Presence, []Ephemeral) {
	return p.expired(at).transition(at)
}

// StatusAt returns the status published last, or Offline if the last heartbeat has ended since.
func (p Presence) StatusAt(at time.Time) Status {
	if !p.Ends().After(at) {
		return Offline
	}
	return p.Published
}

// Ends returns when the last heartbeat ends, or the zero time if there is none.
func (p Presence) Ends() (last time.Time) {
	for _, end := range p.Connections {
		if end.After(last) {
			last = end
		}
	}
	return last
}

// Devices returns the devices that have heartbeats, sorted.
func (p Presence) Devices() (devices []DeviceID) {
	for c := range p.Connections {
		devices = append(devices, c.Device)
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// Forgotten reports whether the presence equals that of a user that was never seen, but for LastSeen: the user is absent, this was published, and the
// choice has ended.
func (p Presence) Forgotten(kept time.Duration, at time.Time) bool {
	return p.Published == Offline && len(p.Connections) == 0 && p.choiceEnded(kept, at)
}

// choiceEnded must be asked of an absent user without heartbeats.
func (p Presence) choiceEnded(kept time.Duration, at time.Time) bool {
	return p.AbsentSince.IsZero() || !p.AbsentSince.Add(kept).After(at)
}

// expired returns the presence without the heartbeats that have ended. Its Connections belong to the caller.
func (p Presence) expired(at time.Time) Presence {
	ends, live := p.Ends(), maps.Clone(p.Connections)
	if live == nil {
		live = make(map[Connection]time.Time)
	}
	maps.DeleteFunc(live, func(_ Connection, end time.Time) bool { return !end.After(at) })
	if len(live) == 0 && len(p.Connections) > 0 {
		p.AbsentSince = ends
	}
	if p.AbsentSince.After(at) { // the clock was set back
		p.AbsentSince = at
	}
	p.Connections = live
	return p
}

// first returns the connection whose heartbeat ends before all others except the given one's. Among those that end together it returns the first in
// order.
func (p Presence) first(except Connection) (first Connection) {
	for c, end := range p.Connections {
		if c == except {
			continue
		}
		if before := p.Connections[first]; first == (Connection{}) || end.Before(before) || end.Equal(before) && c.before(first) {
			first = c
		}
	}
	return first
}

// transition returns the status as a transition if it is not the one published last.
func (p Presence) transition(at time.Time) (Presence, []Ephemeral) {
	now := p.Chosen
	if len(p.Connections) == 0 {
		now = Offline
	}
	if now == p.Published {
		return p, nil
	}
	p.Published = now
	return p, []Ephemeral{UserStatus{User: p.User, Status: now, LastSeen: p.LastSeen, At: at}}
}
