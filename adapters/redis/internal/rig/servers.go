package rig

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/embedded"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// Servers runs a test on every kind of server that the adapters support.
func Servers(t *testing.T, test func(t *testing.T, client goredis.UniversalClient)) {
	t.Run("redis", func(t *testing.T) { test(t, connectPatiently(t, redistest.Shared(t).URL())) })
	if user, _ := redistest.Credentials(); user == "" { // miniredis cannot restrict rights
		t.Run("miniredis", func(t *testing.T) { test(t, connectPatiently(t, "redis://"+Mini(t).Addr())) })
	}
}

// PlainMini starts an in-process server that has no replication ID.
func PlainMini(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	return miniredis.RunT(t)
}

// Now returns the time as Redis stores it.
func Now() time.Time { return time.Now().Truncate(time.Millisecond) }

// Eventually calls until there is no error. It returns the last error after 30 s.
func Eventually(t *testing.T, call func() error) (err error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if err = call(); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

// Mini starts an in-process server on which a log can be opened.
func Mini(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	server := miniredis.RunT(t)
	embedded.Identify(server)
	return server
}

// Connect connects to a server until the test ends.
func Connect(t *testing.T, url string) goredis.UniversalClient {
	t.Helper()
	return connectBy(t, conn.Options{URL: url})
}

// connectPatiently connects to a server that answers in the end: on a busy machine a command may take longer than the timeout of 5 s.
func connectPatiently(t *testing.T, url string) goredis.UniversalClient {
	t.Helper()
	return connectBy(t, conn.Options{URL: url, Timeout: wait.Limit})
}

func connectBy(t *testing.T, options conn.Options) goredis.UniversalClient {
	t.Helper()
	client, err := conn.Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client.UniversalClient // as the core passes it
}
