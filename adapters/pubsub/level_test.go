package pubsub_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// raise puts the log at the next level, as a newer program's core upgrade does.
func (r *rig) raise() {
	r.t.Helper()
	for _, l := range r.lanes {
		if l.Partition < 0 {
			continue
		}
		key := l.Base + "id"
		value := strings.Replace(r.client.Get(r.t.Context(), key).Val(), ";2;", ";3;", 1)
		if err := r.client.Set(r.t.Context(), key, value, 0).Err(); err != nil || !strings.Contains(value, ";3;") {
			r.t.Fatalf("%q: %v", value, err)
		}
	}
}

// TestRaisedLevel runs groups of an older and of a newer build while the log's level is raised: the older build's end with [ports.ErrNewerLog], the
// newer build's go on and miss nothing.
func TestRaisedLevel(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t), 4)
	newer, err := redis.Open(t.Context(), r.client, wireformat.New(), redis.LogConfig{Keys: r.keys, KnownLevel: 3})
	if err != nil {
		t.Fatal(err)
	}
	var handled [2]atomic.Int64
	count := func(i int) pubsub.Handler {
		return func(context.Context, ports.Delivery) error { handled[i].Add(1); return nil }
	}
	ofNewer := beginning(r.config("newer"))
	ofNewer.Guard, ofNewer.Backlog = newer, newer
	running := r.start(ofNewer, count(0))
	old := r.start(beginning(r.config("older")), count(1))
	r.send(10, chats(8)...)
	until(t, "both groups have handled all", func() bool { return handled[0].Load() == 80 && handled[1].Load() == 80 })

	r.raise()
	if err := receive(t, old.ended); !errors.Is(err, ports.ErrNewerLog) || errors.Is(err, ports.ErrLogLost) {
		t.Errorf("the older build's group ended with %v", err)
	}
	old.once.Do(func() {})
	older := r.log
	r.log = newer
	r.send(10, chats(8)...)
	until(t, "the newer build's group has handled all", func() bool { return handled[0].Load() == 160 })
	if n := handled[1].Load(); n != 80 {
		t.Errorf("the older build's group has handled %d", n)
	}

	// Reads and changes of groups compare the log too.
	groups := pubsub.NewGroups(r.client, r.lanes, older, older)
	for name, err := range map[string]error{
		"rebuild": groups.Rebuild(t.Context(), "older"), "drop": groups.Drop(t.Context(), "older", "0/1-1"), "list": second(groups.List(t.Context())),
	} {
		if !errors.Is(err, ports.ErrNewerLog) {
			t.Errorf("%s of the older build: %v", name, err)
		}
	}
	if _, err := pubsub.NewGroups(r.client, r.lanes, newer, newer).List(t.Context()); err != nil {
		t.Error(err)
	}
	if err := pubsub.NewGroups(r.client, r.lanes, newer, newer).Rebuild(t.Context(), "older"); err != nil {
		t.Error(err)
	}
	running.stop() // it does not know the next level

	// A group that begins on a log that was raised before, held at the level before.
	stale, err := redis.Open(t.Context(), r.client, wireformat.New(), redis.LogConfig{Keys: r.keys, KnownLevel: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range r.lanes {
		if l.Partition >= 0 {
			r.client.Set(t.Context(), l.Base+"id", strings.Replace(r.client.Get(t.Context(), l.Base+"id").Val(), ";3;", ";4;", 1), 0)
		}
	}
	var late atomic.Int64
	c := beginning(r.config("late"))
	c.Guard, c.Backlog = stale, stale
	r.start(c, func(context.Context, ports.Delivery) error { late.Add(1); return nil })
	until(t, "a group that began late has handled all", func() bool { return late.Load() == 160 })
}

func second[T any](_ T, err error) error { return err }
