package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// raise moves the log from one level to another, in all partitions at once, as the core upgrade command of a newer program does on a single server.
func (r *rig) raise(from, to int) {
	r.t.Helper()
	var values []any
	for _, l := range r.partitions {
		if l.Number < 0 {
			continue
		}
		key := l.Base + "id"
		value := strings.Replace(r.client.Get(r.t.Context(), key).Val(), fmt.Sprintf(";%d;", from), fmt.Sprintf(";%d;", to), 1)
		if !strings.Contains(value, fmt.Sprintf(";%d;", to)) {
			r.t.Fatalf("%s holds %q", key, value)
		}
		values = append(values, key, value)
	}
	if err := r.client.MSet(r.t.Context(), values...).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// TestRaisedLevel runs groups of an older and of a newer build while the log's level is raised. Those of the older build end with
// [ports.ErrNewerLog]; those of the newer build continue and miss nothing.
func TestRaisedLevel(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t), 4)
	newer, err := eventlog.Open(t.Context(), r.client, wireformat.New(), eventlog.Config{Keys: r.keys, KnownLevel: eventlog.Level + 1})
	if err != nil {
		t.Fatal(err)
	}
	var handled [2]atomic.Int64
	count := func(i int) pubsub.Handler {
		return func(context.Context, ports.Delivery) error { handled[i].Add(1); return nil }
	}
	ofNewer := beginning(r.config("newer"))
	ofNewer.guard, ofNewer.Backlog = newer, newer
	running := r.start(ofNewer, count(0))
	old := r.start(beginning(r.config("older")), count(1))
	r.send(10, chats(8)...)
	until(t, "both groups have handled all", func() bool { return handled[0].Load() == 80 && handled[1].Load() == 80 })

	r.raise(eventlog.Level, eventlog.Level+1)
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
	admin := func(log *eventlog.Log) *redisgroup.Groups {
		return redisgroup.New(redisgroup.Config{Commands: r.client, Blocking: r.client, Partitions: r.partitions, Log: log})
	}
	for name, err := range map[string]error{
		"rebuild": admin(older).Rebuild(t.Context(), "older"), "drop": admin(older).Drop(t.Context(), "older", "0/1-1"), "list": second(admin(older).List(t.Context())),
	} {
		if !errors.Is(err, ports.ErrNewerLog) {
			t.Errorf("%s of the older build: %v", name, err)
		}
	}
	if _, err := admin(newer).List(t.Context()); err != nil {
		t.Error(err)
	}
	if err := admin(newer).Rebuild(t.Context(), "older"); err != nil {
		t.Error(err)
	}
	running.stop() // it does not know the next level

	// A group begins on a log that was raised before, with the level before.
	stale, err := eventlog.Open(t.Context(), r.client, wireformat.New(), eventlog.Config{Keys: r.keys, KnownLevel: eventlog.Level + 2})
	if err != nil {
		t.Fatal(err)
	}
	r.raise(eventlog.Level+1, eventlog.Level+2)
	var late atomic.Int64
	c := beginning(r.config("late"))
	c.guard, c.Backlog = stale, stale
	r.start(c, func(context.Context, ports.Delivery) error { late.Add(1); return nil })
	until(t, "a group that began late has handled all", func() bool { return late.Load() == 160 })
}

func second[T any](_ T, err error) error { return err }
