package conn_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"chatcore/adapters/redis/conn"
	"chatcore/tests/redistest"
)

// TestConnect_GivesTheDriversLogToTheLogger reads go-redis's message about the master that Sentinels name.
func TestConnect_GivesTheDriversLogToTheLogger(t *testing.T) {
	sentinels := redistest.StartSentinels(t, "data-secret")
	log := newDiary()
	client, err := conn.Connect(t.Context(), conn.Options{URL: sentinels.URL(), Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	log.mu.Lock()
	defer log.mu.Unlock()
	if !slices.ContainsFunc(log.entries, func(line string) bool { return strings.HasPrefix(line, "go-redis text=sentinel: new master=") }) {
		t.Errorf("logged %q", log.entries)
	}
}

// TestConnect_TriesOnceWhatCannotMend counts connections with a database that the server does not have.
func TestConnect_TriesOnceWhatCannotMend(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	dials := make(chan struct{}, 64)
	count := func() bool {
		dials <- struct{}{}
		return true
	}
	proxy.Accept.Store(&count)
	_, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL() + "/99", Attempts: 5})
	if err == nil || !strings.Contains(err.Error(), "DB index is out of range") || strings.Contains(err.Error(), "is it running") {
		t.Errorf("it says %v", err)
	}
	if n := len(dials); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
