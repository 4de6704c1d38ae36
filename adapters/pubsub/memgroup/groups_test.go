package memgroup_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/ports/porttest"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a log in memory with its groups.
type rig struct {
	t      *testing.T
	clock  *clock
	log    *memory.Log
	groups *memgroup.Groups
	sent   int
}

func newRig(t *testing.T, partitions int) *rig {
	t.Helper()
	codec, c := wireformat.New(), newClock()
	r := &rig{t: t, clock: c, log: memory.New(codec, c, nil)}
	r.groups = memgroup.New(memgroup.Config{Log: r.log, Codec: codec, Clock: c, Partitions: partitions})
	return r
}

// send appends n messages to a chat.
func (r *rig) send(chat string, n int) {
	r.t.Helper()
	r.sendAt(r.clock.Now(), chat, n)
}

// sendAt appends n messages of a time to a chat.
func (r *rig) sendAt(at time.Time, chat string, n int) {
	r.t.Helper()
	for range n {
		r.sent++
		e := domain.MessageNew{Chat: domain.ChatID(chat), Message: domain.MessageID(fmt.Sprint("m", r.sent)), Sender: "ada", Content: "hi", At: at}
		a := ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", r.sent)), Event: e, Moves: domain.Moves(e)}}}
		if _, err := r.log.Append(r.t.Context(), a); err != nil {
			r.t.Fatal(err)
		}
	}
}

// sendForeign appends an entry of another program to a stream.
func (r *rig) sendForeign(p groups.Partition, e groups.Entry) {
	r.t.Helper()
	if _, err := r.groups.Append(r.t.Context(), p, e); err != nil {
		r.t.Fatal(err)
	}
}

// remove removes entries of a stream.
func (r *rig) remove(p groups.Partition, ids ...groups.StreamID) {
	r.t.Helper()
	n, err := r.groups.Lose(r.t.Context(), p, func(e groups.Entry) bool { return slices.Contains(ids, e.ID) })
	if err != nil || n != len(ids) {
		r.t.Fatalf("%d of %d entries were removed: %v", n, len(ids), err)
	}
}

func TestGroups(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			porttest.Groups(t, func(t *testing.T) porttest.GroupsRig {
				r := newRig(t, partitions)
				return porttest.GroupsRig{
					Stores: r.groups, Append: r.send, Remove: r.remove, Advance: r.clock.forward,
					PartitionOf:   func(chat string) groups.Partition { return r.groups.PartitionOf(domain.ChatID(chat)) },
					AppendForeign: r.sendForeign,
				}
			})
		})
	}
}

// TestEntryTimes checks that an entry has the time of its event, but is neither of the future nor before the entry before it.
func TestEntryTimes(t *testing.T) {
	r := newRig(t, 1)
	now := r.clock.Now()
	for _, at := range []time.Time{now.Add(-time.Hour), now.Add(-2 * time.Hour), now.Add(-time.Minute), now.Add(time.Hour), now} {
		r.sendAt(at, "c", 1)
	}
	b, err := r.groups.Store("g").Next(t.Context(), r.groups.Partitions()[0], groups.StreamID{}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []groups.StreamID{id(now.Add(-time.Hour), 0), id(now.Add(-time.Hour), 1), id(now.Add(-time.Minute), 0), id(now, 0), id(now, 1)}
	for i, e := range b.Entries {
		if e.ID != want[i] {
			t.Errorf("entry %d has the id %v, want %v", i, e.ID, want[i])
		}
	}
}

func id(at time.Time, number uint64) groups.StreamID {
	return groups.StreamID{Milliseconds: uint64(at.UnixMilli()), Number: number} //nolint:gosec // a time
}
