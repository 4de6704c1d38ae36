package domain_test

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatcore/domain"
)

func TestPresence(t *testing.T) {
	told := func(events []domain.Ephemeral) (statuses []domain.Status) {
		for _, e := range events {
			statuses = append(statuses, e.(domain.UserStatus).Status)
		}
		return statuses
	}
	expect := func(what string, events []domain.Ephemeral, want ...domain.Status) {
		t.Helper()
		if got := told(events); !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s told %v, want %v", what, got, want)
		}
	}
	phone, laptop := domain.Connection{Device: "phone"}, domain.Connection{Device: "laptop"}
	const kept = 90 * time.Minute
	p := domain.Presence{User: "ann"}
	p, events := p.Beat(phone, time.Minute, kept, noon)
	expect("the first heartbeat", events, domain.Online)
	p, events = p.Beat(laptop, time.Minute, kept, noon.Add(30*time.Second))
	expect("a second device", events)
	p, events = p.Set(domain.Away, noon.Add(31*time.Second))
	expect("away", events, domain.Away)
	p, events = p.Expire(noon.Add(61 * time.Second))
	expect("the end of one device", events)
	p, events = p.Expire(noon.Add(91 * time.Second))
	expect("the end of the last", events, domain.Offline)
	if !p.LastSeen.Equal(noon.Add(31 * time.Second)) {
		t.Errorf("last seen %s", p.LastSeen)
	}
	p, events = p.Expire(noon.Add(80 * time.Minute))
	expect("silence", events)
	p, events = p.Beat(phone, time.Minute, kept, noon.Add(80*time.Minute))
	expect("a return", events, domain.Away) // the choice survives a short absence
	p, events = p.Set(domain.Offline, noon.Add(80*time.Minute))
	expect("hiding", events, domain.Offline)
	p, events = p.Beat(laptop, time.Minute, kept, noon.Add(80*time.Minute))
	expect("a heartbeat while hidden", events)
	at := noon.Add(160 * time.Minute)
	p, events = p.Beat(phone, time.Minute, kept, at)
	expect("a return of a hidden user", events)
	at = at.Add(time.Minute + kept)
	p, events = p.Beat(phone, time.Minute, kept, at)
	expect("a return after the choice has ended", events, domain.Online) // though nobody noticed that the user was gone
	p, events = p.Leave(laptop, at)
	expect("the leave of a device that is gone", events)
	p, events = p.Leave(phone, at.Add(time.Second))
	expect("the leave of the last device", events, domain.Offline)
	if !p.LastSeen.Equal(at.Add(time.Second)) {
		t.Errorf("last seen %s", p.LastSeen)
	}
	p, events = p.Set(domain.Busy, at.Add(2*time.Hour))
	expect("a choice of an absent user", events)
	if p.Forgotten(kept, at.Add(2*time.Hour+kept-1)) || !p.Forgotten(kept, at.Add(2*time.Hour+kept)) {
		t.Error("the choice of an absent user does not count from the choice")
	}
	p, _ = p.Leave(phone, noon)
	if !p.Forgotten(kept, noon.Add(kept)) {
		t.Error("the choice outlives a clock that was set back")
	}
}

func TestPresence_Connections(t *testing.T) {
	on := func(id domain.ConnectionID) domain.Connection { return domain.Connection{Device: "phone", ID: id} }
	p, _ := domain.Presence{User: "ann"}.Beat(on("old"), time.Minute, time.Hour, noon)
	p, _ = p.Beat(on("new"), time.Minute, time.Hour, noon.Add(10*time.Second))
	before := p
	p, events := p.Leave(on("old"), noon.Add(20*time.Second))
	if len(events) > 0 || !slices.Equal(p.Devices(), []domain.DeviceID{"phone"}) || len(before.Connections) != 2 {
		t.Errorf("the leave of the old connection: %v, devices %v", events, p.Devices())
	}
	if p, events = p.Leave(on(""), noon.Add(21*time.Second)); len(events) > 0 {
		t.Errorf("the leave of the device itself, which sent no heartbeat: %v", events)
	}
	if s := p.StatusAt(noon.Add(69 * time.Second)); s != domain.Online {
		t.Errorf("before the last heartbeat ends: %d", s)
	}
	if s := p.StatusAt(noon.Add(70 * time.Second)); s != domain.Offline {
		t.Errorf("when the last heartbeat has ended: %d", s)
	}
	if p, events = p.Leave(on("new"), noon.Add(30*time.Second)); len(events) != 1 || len(p.Devices()) > 0 {
		t.Errorf("the leave of the last connection: %v", events)
	}
}

func TestConnection_Check(t *testing.T) {
	for c, field := range map[domain.Connection]string{
		{Device: "phone"}:             "",
		{Device: "phone", ID: "c1"}:   "",
		{ID: "c1"}:                    "deviceId",
		{Device: " told"}:             "deviceId",
		{Device: "phone", ID: "a b"}:  "connectionId",
		{Device: "phone", ID: "\xff"}: "connectionId",
		{Device: "phone", ID: domain.ConnectionID(strings.Repeat("x", 129))}: "connectionId",
	} {
		var invalid *domain.InvalidError
		if err := c.Check(); (err == nil) != (field == "") || err != nil && (!errors.As(err, &invalid) || invalid.Field != field) {
			t.Errorf("%q: %v, want the field %q", c, err, field)
		}
	}
}

func TestPresence_MaxConnections(t *testing.T) {
	p := domain.Presence{User: "ann"}
	on := func(i int) domain.Connection {
		return domain.Connection{Device: domain.DeviceID("d" + strconv.Itoa(i%3)), ID: domain.ConnectionID("c" + strconv.Itoa(i))}
	}
	for i := range domain.MaxConnections {
		p, _ = p.Beat(on(i), time.Minute, time.Hour, noon.Add(time.Duration((i+7)%domain.MaxConnections)*time.Millisecond))
	}
	more := domain.Connection{Device: "one more"}
	p, _ = p.Beat(more, time.Second, time.Hour, noon.Add(time.Second))
	_, first := p.Connections[on(93)] // its heartbeat was 0 ms after noon; the one more ends before it, and came last
	_, kept := p.Connections[more]
	if len(p.Connections) != domain.MaxConnections || first || !kept {
		t.Errorf("%d connections, the first %v, the last %v", len(p.Connections), first, kept)
	}
}
