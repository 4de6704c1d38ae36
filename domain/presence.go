package domain

import (
	"maps"
	"time"
)

// MaxDevices is how many of a user's devices are kept track of. With one more, the one whose heartbeat would end first counts as gone.
const MaxDevices = 100

// Presence is whether one user is there, folded from the heartbeats of the user's devices. A user is there while any device's
// heartbeat lives; a device that crashed ends its by silence. The zero value of all but User is someone of whom nothing is known.
type Presence struct {
	User     UserID
	Chosen   Status // Online, Away or Busy: what the user shows while there; Offline hides the user until the last device is gone
	Told     Status // what was published last
	LastSeen time.Time
	Devices  map[DeviceID]time.Time // when each heartbeat ends; not to be changed by who was given the Presence
}

// Beat records a heartbeat that lives for life. It returns the presence from then on and the transition made, if any.
func (p Presence) Beat(device DeviceID, life time.Duration, at time.Time) (Presence, []Ephemeral) {
	p.Devices = p.live(at)
	if len(p.Devices) == 0 && p.Chosen == Offline {
		p.Chosen = Online
	}
	p.Devices[device] = at.Add(life)
	for len(p.Devices) > MaxDevices {
		delete(p.Devices, p.first(device))
	}
	p.LastSeen = at
	return p.tell(at)
}

// Leave ends a device's heartbeat at once.
func (p Presence) Leave(device DeviceID, at time.Time) (Presence, []Ephemeral) {
	p.Devices = p.live(at)
	if _, there := p.Devices[device]; there {
		p.LastSeen = at
		delete(p.Devices, device)
	}
	return p.tell(at)
}

// Set chooses what the user shows while there.
func (p Presence) Set(s Status, at time.Time) (Presence, []Ephemeral) {
	p.Devices, p.Chosen = p.live(at), s
	if len(p.Devices) > 0 {
		p.LastSeen = at
	}
	return p.tell(at)
}

// Expire drops the devices whose heartbeats have ended.
func (p Presence) Expire(at time.Time) (Presence, []Ephemeral) {
	p.Devices = p.live(at)
	return p.tell(at)
}

// Ends is when the last heartbeat does, the zero time if there is none.
func (p Presence) Ends() (last time.Time) {
	for _, end := range p.Devices {
		if end.After(last) {
			last = end
		}
	}
	return last
}

// live are the devices whose heartbeats have not ended, to be changed by the caller.
func (p Presence) live(at time.Time) map[DeviceID]time.Time {
	live := maps.Clone(p.Devices)
	if live == nil {
		live = make(map[DeviceID]time.Time)
	}
	maps.DeleteFunc(live, func(_ DeviceID, end time.Time) bool { return !end.After(at) })
	return live
}

// first is the device that ends before all others, but for the given one; of those that end together, the one with the smallest id.
func (p Presence) first(but DeviceID) (first DeviceID) {
	for device, end := range p.Devices {
		if device == but {
			continue
		}
		if before := p.Devices[first]; first == "" || end.Before(before) || end.Equal(before) && device < first {
			first = device
		}
	}
	return first
}

// tell gives the status if it is not the one told last.
func (p Presence) tell(at time.Time) (Presence, []Ephemeral) {
	now := p.Chosen
	if len(p.Devices) == 0 {
		now = Offline
	}
	if now == p.Told {
		return p, nil
	}
	p.Told = now
	return p, []Ephemeral{UserStatus{User: p.User, Status: now, LastSeen: p.LastSeen, At: at}}
}
