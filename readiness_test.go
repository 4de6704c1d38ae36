package chatcore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// probes returns how many probes a server has answered: each proves MULTI twice, and nothing else of an idle core uses it.
func probes(t *testing.T, client *goredis.Client) int {
	t.Helper()
	t.Helper()
	return redistest.AllCommands(t, client)["multi"] / 2
}

// TestReady_Shared has many callers ask at once, of a log that takes events, of one that does not, and of one that takes them again.
func TestReady_Shared(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	ask := func(want error) {
		t.Helper()
		const callers = 100
		before, began := probes(t, client), time.Now()
		var asking sync.WaitGroup
		results := make(chan error, 2*callers)
		for range callers {
			asking.Go(func() {
				results <- core.Ready(t.Context())
				results <- core.Ready(t.Context())
			})
		}
		asking.Wait()
		most := 1 + int(time.Since(began)/time.Second)
		if made := probes(t, client) - before; made > most {
			t.Errorf("%d callers cost %d probes in %v, more than one a second", callers, made, time.Since(began))
		}
		for range 2 * callers {
			if err := <-results; !errors.Is(err, want) {
				t.Fatalf("a caller got %v, want %v", err, want)
			}
		}
	}
	ask(nil)
	for _, c := range []struct {
		host, port string // of the master to replicate, which is not there
		want       error
	}{{"127.0.0.1", "1", ports.ErrUnavailable}, {"no", "one", nil}} {
		if err := client.Do(t.Context(), "replicaof", c.host, c.port).Err(); err != nil { // a replica proves all rights and refuses the write
			t.Fatal(err)
		}
		wait.Until(t, "the change to be noticed", func() bool { return errors.Is(core.Ready(t.Context()), c.want) })
		ask(c.want)
	}
}

// TestReady_Frozen shows that a caller waits for as long as its own context, and that the probe goes on for the others.
func TestReady_Frozen(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	server.Freeze()
	defer server.Thaw()
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := core.Ready(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that waits no longer got %v", err)
	}
	if err := core.Ready(t.Context()); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("the others got %v", err)
	}
}

// TestReady_Closed asks a core that has ended.
func TestReady_Closed(t *testing.T) {
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: t.Name()}}))
	if err := core.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	if err := core.Ready(t.Context()); !errors.Is(err, chatcore.ErrClosed) {
		t.Errorf("a closed core: %v", err)
	}
}
