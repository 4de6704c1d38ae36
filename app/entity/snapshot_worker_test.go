package entity_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// slowSnapshots is a log whose snapshots are written once the gate is open.
type slowSnapshots struct {
	*memory.Log
	gate    chan struct{}
	writes  atomic.Int32 // begun
	written atomic.Int32
	mu      sync.Mutex
	latest  map[domain.Entity]domain.Seq
}

func newSlowSnapshots() *slowSnapshots {
	return &slowSnapshots{
		Log: memory.New(wireformat.New(), clock{}, nil), gate: make(chan struct{}), latest: make(map[domain.Entity]domain.Seq),
	}
}

func (s *slowSnapshots) SaveSnapshot(ctx context.Context, chat domain.ChatID, e domain.Entity, version domain.Seq, state domain.State) error {
	s.writes.Add(1)
	select {
	case <-s.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	s.latest[e] = max(s.latest[e], version)
	s.mu.Unlock()
	s.written.Add(1)
	return s.Log.SaveSnapshot(ctx, chat, e, version, state)
}

func (s *slowSnapshots) version(e domain.Entity) domain.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest[e]
}

// reactTo has n reactions put to a message and taken back. A call that waits for a snapshot ends in ctx's error.
func reactTo(t *testing.T, chats *app.Chats, id domain.MessageID, n int) (last domain.Seq) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	for i := range n {
		react := chats.React
		if i%2 == 1 {
			react = chats.Unreact
		}
		done, err := react(ctx, domain.React{Chat: "c", Actor: "ada", MessageID: id, Emoji: "👍"})
		if err != nil || ctx.Err() != nil {
			t.Fatalf("reaction %d: %v, %v", i, err, ctx.Err())
		}
		last = done.Seq
	}
	return last
}

func snapshotting(t *testing.T, messages int) (*slowSnapshots, *entity.Loader, *app.Chats) {
	t.Helper()
	log := newSlowSnapshots()
	entities := entity.NewLoader(log, log, 1<<20)
	t.Cleanup(entities.Close)
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	return log, entities, chats
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(wait.Limit), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, wait.Limit)
		}
	}
}

// TestSnapshots_NotInTheCallersTime reacts on while the first snapshot is stuck. The dozen that are due meanwhile become one.
func TestSnapshots_NotInTheCallersTime(t *testing.T) {
	log, entities, chats := snapshotting(t, 1)
	last := reactTo(t, chats, "m0", 12*256)
	eventually(t, "the first snapshot has begun", func() bool { return log.writes.Load() == 1 })
	close(log.gate)
	eventually(t, "all is written", func() bool { return entities.Stats().SnapshotsPending == 0 })
	if n := log.written.Load(); n != 2 {
		t.Errorf("%d snapshots were written, want the first and one for all that were due meanwhile", n)
	}
	if v := log.version(domain.ReactionsEntity("m0")); v != last {
		t.Errorf("the latest is of version %d, want %d", v, last)
	}
}

// TestSnapshots_Bounded makes more messages hot than are queued.
func TestSnapshots_Bounded(t *testing.T) {
	const hot = 80
	log, entities, chats := snapshotting(t, hot)
	for i := range hot {
		reactTo(t, chats, domain.MessageID(fmt.Sprint("m", i)), 256)
	}
	eventually(t, "the first snapshot has begun", func() bool { return log.writes.Load() == 1 })
	s := entities.Stats()
	if s.SnapshotsPending > 65 || uint64(s.SnapshotsPending)+s.SnapshotsSkipped != hot { //nolint:gosec // not negative
		t.Errorf("%d pending and %d skipped of %d", s.SnapshotsPending, s.SnapshotsSkipped, hot)
	}
	entities.Close() // interrupts the one that is stuck
	if s := entities.Stats(); s.SnapshotsPending != 0 || log.written.Load() != 0 {
		t.Errorf("after Close %d are pending, %d were written", s.SnapshotsPending, log.written.Load())
	}
	reactTo(t, chats, "m0", 256)
	if n := log.writes.Load(); n != 1 {
		t.Errorf("%d were begun after Close", n-1)
	}
}
