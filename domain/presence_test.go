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
	published := func(events []domain.Ephemeral) (statuses []domain.Status) {
		for _, e := range events {
			statuses = append(statuses, e.(domain.UserStatus).Status)
		}
		return statuses
	}
	expect := func(what string, events []domain.Ephemeral, want ...domain.Status) {
		t.Helper()
		if got := published(events); !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s told %v, want %v", what, got, want)
		}
	}
	phone, laptop := domain.Connection{Device: "phone"}, domain.Connection{Device: "laptop"}
	const kept = 90 * time.Minute
	p := domain.Presence{User: "ann"}
	p, events := p.Heartbeat(phone, time.Minute, kept, noon)
	expect("the first heartbeat", events, domain.Online)
	p, events = p.Heartbeat(laptop, time.Minute, kept, noon.Add(30*time.Second))
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
	p, events = p.Heartbeat(phone, time.Minute, kept, noon.Add(80*time.Minute))
	expect("a return", events, domain.Away) // the choice survives a short absence
	p, events = p.Set(domain.Offline, noon.Add(80*time.Minute))
	expect("hiding", events, domain.Offline)
	p, events = p.Heartbeat(laptop, time.Minute, kept, noon.Add(80*time.Minute))
	expect("a heartbeat while hidden", events)
	at := noon.Add(160 * time.Minute)
	p, events = p.Heartbeat(phone, time.Minute, kept, at)
	expect("a return of a hidden user", events)
	at = at.Add(time.Minute + kept)
	p, events = p.Heartbeat(phone, time.Minute, kept, at)
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
	p, _ := domain.Presence{User: "ann"}.Heartbeat(on("old"), time.Minute, time.Hour, noon)
	p, _ = p.Heartbeat(on("new"), time.Minute, time.Hour, noon.Add(10*time.Second))
	before := p
	p, events := p.Leave(on("old"), noon.Add(20*time.Second))
	if len(events) > 0 || !slices.Equal(p.Devices(), []domain.DeviceID{"phone"}) || len(before.Connections) != 2 {
		t.Errorf("the leave of the old connection: %v, devices %v", events, p.Devices())
	}
	if !p.AbsentSince.IsZero() {
		t.Errorf("one connection is left, and the user absent since %s", p.AbsentSince)
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

// TestPresence_Absence compares the fields from which a presence is forgotten, and its ends and devices.
func TestPresence_Absence(t *testing.T) {
	a, b, other := domain.Connection{Device: "a", ID: "2"}, domain.Connection{Device: "b", ID: "1"}, domain.Connection{Device: "a", ID: "1"}
	const kept = time.Hour
	p, _ := domain.Presence{User: "ann"}.Heartbeat(b, time.Minute, kept, noon)
	if !p.AbsentSince.IsZero() || p.Forgotten(kept, noon) {
		t.Errorf("while a heartbeat lives: %+v", p)
	}
	p, _ = p.Heartbeat(a, 2*time.Minute, kept, noon.Add(time.Second))
	p, _ = p.Heartbeat(other, time.Minute, kept, noon.Add(2*time.Second))
	if got := p.Devices(); !slices.Equal(got, []domain.DeviceID{"a", "b"}) || !p.Ends().Equal(noon.Add(121*time.Second)) {
		t.Errorf("the devices are %v and end at %s", got, p.Ends())
	}
	p, _ = p.Set(domain.Busy, noon.Add(3*time.Second))
	p, _ = p.Expire(noon.Add(70 * time.Second))
	if !p.AbsentSince.IsZero() || len(p.Connections) != 1 {
		t.Errorf("one heartbeat is left: %+v", p)
	}
	left, _ := p.Leave(a, noon.Add(80*time.Second))
	if !left.AbsentSince.Equal(noon.Add(80*time.Second)) || !left.LastSeen.Equal(noon.Add(80*time.Second)) {
		t.Errorf("after the last leave: %+v", left)
	}
	ended, _ := p.Expire(noon.Add(10 * time.Minute))
	if !ended.AbsentSince.Equal(noon.Add(121*time.Second)) || !ended.LastSeen.Equal(noon.Add(3*time.Second)) {
		t.Errorf("after the end of the last heartbeat: %+v", ended)
	}
	if again, _ := ended.Leave(a, noon.Add(11*time.Minute)); !again.LastSeen.Equal(ended.LastSeen) || !again.AbsentSince.Equal(ended.AbsentSince) {
		t.Errorf("a leave without a heartbeat: %+v", again)
	}
	back, _ := ended.Heartbeat(a, time.Minute, kept, noon.Add(12*time.Minute))
	if !back.AbsentSince.IsZero() || back.Chosen != domain.Busy || !back.LastSeen.Equal(noon.Add(12*time.Minute)) {
		t.Errorf("back after a short absence: %+v", back)
	}
	if p := (domain.Presence{Published: domain.Online}); p.Forgotten(kept, noon) {
		t.Error("a presence that was told as online is forgotten")
	}
	if p := (domain.Presence{Connections: map[domain.Connection]time.Time{a: noon}}); p.Forgotten(kept, noon) {
		t.Error("a presence with a heartbeat is forgotten")
	}
	late, _ := domain.Presence{User: "ann", Published: domain.Online, Connections: map[domain.Connection]time.Time{a: noon}}.Set(domain.Away, noon.Add(time.Minute))
	if len(late.Connections) != 0 || late.Published != domain.Offline {
		t.Errorf("a choice after the last heartbeat has ended: %+v", late)
	}
}

// TestPresence_MaxConnectionsTogether has more heartbeats than are kept end together: those that sort first are dropped.
func TestPresence_MaxConnectionsTogether(t *testing.T) {
	p := domain.Presence{User: "ann"}
	for i := range domain.MaxConnections + 3 {
		c := domain.Connection{Device: domain.DeviceID(rune('c' - i%3)), ID: domain.ConnectionID(strconv.Itoa(1000 + i))}
		p, _ = p.Heartbeat(c, time.Minute, time.Hour, noon)
	}
	for _, dropped := range []domain.Connection{{Device: "a", ID: "1002"}, {Device: "a", ID: "1005"}, {Device: "a", ID: "1008"}} {
		if _, kept := p.Connections[dropped]; kept {
			t.Errorf("%v is kept", dropped)
		}
	}
	if len(p.Connections) != domain.MaxConnections {
		t.Errorf("%d connections are kept", len(p.Connections))
	}
}

func TestPresence_MaxConnections(t *testing.T) {
	p := domain.Presence{User: "ann"}
	on := func(i int) domain.Connection {
		return domain.Connection{Device: domain.DeviceID("d" + strconv.Itoa(i%3)), ID: domain.ConnectionID("c" + strconv.Itoa(i))}
	}
	for i := range domain.MaxConnections {
		p, _ = p.Heartbeat(on(i), time.Minute, time.Hour, noon.Add(time.Duration((i+7)%domain.MaxConnections)*time.Millisecond))
	}
	more := domain.Connection{Device: "one more"}
	p, _ = p.Heartbeat(more, time.Second, time.Hour, noon.Add(time.Second))
	_, first := p.Connections[on(93)] // its heartbeat was 0 ms after noon; the one more ends before it, and came last
	_, kept := p.Connections[more]
	if len(p.Connections) != domain.MaxConnections || first || !kept {
		t.Errorf("%d connections, the first %v, the last %v", len(p.Connections), first, kept)
	}
}
