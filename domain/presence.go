package domain

import (
	"maps"
	"time"
)

// Presence is whether one user is there, folded from the heartbeats of the user's devices. A user is there while any device's
// heartbeat lives; a device that crashed ends its by silence.
type Presence struct {
	User     UserID
	Chosen   Status // Online, Away or Busy: what the user shows while there; Offline hides the user
	Told     Status // what was published last
	LastSeen time.Time
	Devices  map[DeviceID]time.Time // when each heartbeat ends; not to be changed by who was given the Presence
}

// Beat records a heartbeat that lives for ttl. It returns the presence from then on and the transition made, if any.
func (p Presence) Beat(device DeviceID, ttl time.Duration, at time.Time) (Presence, []Ephemeral) {
	if len(p.Devices) == 0 && p.Chosen == Offline {
		p.Chosen = Online
	}
	devices := make(map[DeviceID]time.Time, len(p.Devices)+1)
	maps.Copy(devices, p.Devices)
	devices[device] = at.Add(ttl)
	p.Devices = devices
	return p.settle(at)
}

// Leave ends a device's heartbeat at once.
func (p Presence) Leave(device DeviceID, at time.Time) (Presence, []Ephemeral) {
	p.Devices = maps.Clone(p.Devices)
	if _, live := p.Devices[device]; live && at.After(p.LastSeen) {
		p.LastSeen = at
	}
	delete(p.Devices, device)
	return p.settle(at)
}

// Set chooses what the user shows while there.
func (p Presence) Set(s Status, at time.Time) (Presence, []Ephemeral) {
	p.Chosen = s
	return p.settle(at)
}

// Expire drops the devices whose heartbeats ended before at.
func (p Presence) Expire(at time.Time) (Presence, []Ephemeral) { return p.settle(at) }

// settle drops dead devices and tells the status if it is not the one told last.
func (p Presence) settle(at time.Time) (Presence, []Ephemeral) {
	live := make(map[DeviceID]time.Time, len(p.Devices))
	for device, until := range p.Devices {
		if until.After(at) {
			live[device] = until
		} else if until.After(p.LastSeen) {
			p.LastSeen = until
		}
	}
	p.Devices = live
	now := p.Chosen
	if len(live) == 0 {
		now = Offline
	} else {
		p.LastSeen = at
	}
	if now == p.Told {
		return p, nil
	}
	p.Told = now
	return p, []Ephemeral{UserStatus{User: p.User, Status: now, LastSeen: p.LastSeen, At: at}}
}
