package app_test

import (
	"context"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// sharedLog is an event log as several processes open it.
type sharedLog interface {
	ports.EventLog
	ports.EventSearch
	ports.Snapshots
}

// onEachLog runs a test on a log in memory and on one in Redis. open gives the log to one more process.
func onEachLog(t *testing.T, test func(t *testing.T, open func() sharedLog)) {
	t.Run("memory", func(t *testing.T) {
		log := memory.New(wireformat.New(), clock{}, nil)
		test(t, func() sharedLog { return log })
	})
	t.Run("redis", func(t *testing.T) { onRedis(t, func(open func() sharedLog) { test(t, open) }) })
}

func onRedis(t *testing.T, test func(open func() sharedLog)) {
	server := redistest.Start(t)
	keys, err := keyspace.New("", 4, false)
	if err != nil {
		t.Fatal(err)
	}
	test(func() sharedLog {
		client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		log, err := eventlog.Open(t.Context(), client.UniversalClient, wireformat.New(), eventlog.Config{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return log
	})
}

// noTyping has no typing marks.
type noTyping struct{ ports.TypingMarks }

// process opens a log as a process with a cache of its own does.
func process(log sharedLog, clock ports.Clock) *app.Chats {
	return app.NewChats(log, entity.NewLoader(log, log, 1<<20), silent{}, noTyping{}, clock, ids{}, nil, app.Policy{}, nil)
}

// fast is a clock whose seconds last 20 ms, so that waiting for read marks takes little time.
type fast struct{ began time.Time }

const faster = 50

func (f fast) Now() time.Time { return f.began.Add(faster * time.Since(f.began)) }

func (f fast) Sleep(ctx context.Context, until time.Time) error {
	return clock{}.Sleep(ctx, time.Now().Add(until.Sub(f.Now())/faster))
}
