package eventlog_test

import (
	"context"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// openKnowing opens a log in a program that knows levels up to known. It creates a new log at that level.
func openKnowing(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, known int) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, Announce: true, AnnouncePartitions: true, KnownLevel: known})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func raiseLevel(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	t.Helper()
	if steps, err := eventlog.Upgrade(t.Context(), client, keys, eventlog.UpgradeConfig{}); err != nil || len(steps) == 0 {
		t.Fatalf("%d steps, error %v", len(steps), err)
	}
}

// halfUpgraded is a log that is created at level 2 and raised to the present level before one of its first appends.
type halfUpgraded struct {
	*eventlog.Log
	raise func()
	left  atomic.Int32 // appends before the level is raised
}

//nolint:gochecknoglobals // each log is raised at another append
var logsOpened atomic.Int32

func openHalfUpgraded(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *halfUpgraded {
	t.Helper()
	openKnowing(t, client, keys, 2)
	log := &halfUpgraded{Log: openKnowing(t, client, keys, eventlog.Level), raise: func() { raiseLevel(t, client, keys) }}
	log.left.Store(logsOpened.Add(1) % 9)
	return log
}

func (l *halfUpgraded) next() {
	if l.left.Add(-1) == 0 {
		l.raise()
	}
}

func (l *halfUpgraded) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	l.next()
	return l.Log.Append(ctx, a)
}

func (l *halfUpgraded) AppendBatch(ctx context.Context, appends []ports.Append) ([]ports.Outcome, error) {
	l.next()
	return l.Log.AppendBatch(ctx, appends)
}

func TestEventLog_HalfUpgraded(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	porttest.EventLog(t, func(t *testing.T) porttest.Log { return openHalfUpgraded(t, client, rig.NewKeys(t, 2)) })
}

func TestEventLog_BelowTheCompactForm(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	porttest.EventLog(t, func(t *testing.T) porttest.Log { return openKnowing(t, client, rig.NewKeys(t, 2), 2) })
}
