package pubsub_test

import (
	"os"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == restartCommand {
		os.Exit(askForRestart(os.Args[2]))
	}
	redistest.Main(m, goleak.IgnoreTopFunction("github.com/ThreeDotsLabs/watermill/pubsub/tests.TestReconnect.func2")) // waits for a channel that is never closed
}

const patience = wait.Limit

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came for %s", patience)
		panic("unreachable")
	}
}

// until polls for a condition that no channel signals.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func options(addr string) *goredis.Options {
	user, password := redistest.Credentials()
	return &goredis.Options{Addr: addr, Username: user, Password: password, ContextTimeoutEnabled: true, MaxRetries: -1}
}

func connect(t *testing.T, addr string) *goredis.Client {
	t.Helper()
	client := goredis.NewClient(options(addr))
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("the client was closed by somebody else: %v", err)
		}
	})
	return client
}
