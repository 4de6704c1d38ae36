package helpers_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// onEachBackend runs a test on Redis and in memory.
func onEachBackend(t *testing.T, test func(t *testing.T, open func(chatcore.Config) *chatcore.Core)) {
	t.Run("redis", func(t *testing.T) {
		namespace := "helpers-" + uuid.NewString()
		test(t, func(c chatcore.Config) *chatcore.Core {
			c.Redis.URL, c.Redis.Namespace, c.Log.Partitions = redistest.Shared(t).URL(), namespace, 2
			return opened(t)(chatcore.New(t.Context(), c))
		})
	})
	t.Run("memory", func(t *testing.T) {
		test(t, func(c chatcore.Config) *chatcore.Core { return opened(t)(chatcore.NewInMemory(c)) })
	})
}

// opened returns a core that ends with the test.
func opened(t *testing.T) func(*chatcore.Core, error) *chatcore.Core {
	return func(core *chatcore.Core, err error) *chatcore.Core {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := core.Close(); err != nil {
				t.Error(err)
			}
		})
		return core
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// receive returns the next value of a channel.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(wait.Limit):
		t.Fatalf("nothing came for %s", wait.Limit)
		panic("unreachable")
	}
}
