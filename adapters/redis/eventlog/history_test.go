package eventlog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// historyUntil asks for the history until wanted accepts it.
func historyUntil(t *testing.T, what string, log *eventlog.Log, wanted func(string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		name := log.History(ctx)
		if wanted(name) {
			return name
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("%s: the history is %q", what, name)
		}
	}
}

// TestHistory_ChangesWhenTheServerMayHaveLostSomething checks that calls of History alone detect a restart and a flush.
func TestHistory_ChangesWhenTheServerMayHaveLostSomething(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	keys := rig.NewKeys(t, 3)
	log, other := rig.Open(t, rig.Connect(t, server.URL()), keys), rig.Open(t, rig.Connect(t, server.URL()), keys)
	rig.Appended(t, log, rig.Created("c"))
	first := log.History(t.Context())
	if !strings.HasPrefix(first, log.ID()) || first == log.ID() || first != other.History(t.Context()) {
		t.Errorf("of log %s the history is %q, and for another process %q", log.ID(), first, other.History(t.Context()))
	}
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if name := log.History(t.Context()); name != first {
		t.Errorf("without a server it is %q", name)
	}
	server.Restart(t)
	second := historyUntil(t, "after a restart", log, func(name string) bool { return name != first })
	if name := historyUntil(t, "for another process", other, func(name string) bool { return name != first }); name != second || !strings.HasPrefix(name, log.ID()) {
		t.Errorf("one process says %q, another %q", second, name)
	}

	client.FlushAll(t.Context())
	historyUntil(t, "after a flush", log, func(name string) bool { return name != first && name != second })
	if _, err := log.Load(t.Context(), "c"); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("a load says %v", err)
	}
}

// TestHistory_IsTheLastOneWhileTheServerIsFrozen freezes the server for as long as a command may take. The history changes once the server answers.
func TestHistory_IsTheLastOneWhileTheServerIsFrozen(t *testing.T) {
	server := redistest.Start(t)
	log := rig.Open(t, rig.Connect(t, server.URL()), rig.NewKeys(t, 1))
	first := log.History(t.Context())
	server.Freeze()
	defer server.Thaw()
	for range 3 {
		if name := log.History(t.Context()); name != first {
			t.Errorf("it is %q, and was %q", name, first)
		}
	}
	server.Kill()
	server.Restart(t)
	historyUntil(t, "after a restart that lost the log", log, func(name string) bool { return name != first })
}
