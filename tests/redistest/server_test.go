package redistest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/tests/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func client(t *testing.T, s *redistest.Server) *goredis.Client {
	t.Helper()
	opts, err := goredis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	opts.MaxRetries = -1
	c := goredis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSharedIsOneServer(t *testing.T) {
	a, b := redistest.Shared(t), redistest.Shared(t)
	if a != b {
		t.Fatalf("two servers: %s and %s", a.Addr(), b.Addr())
	}
	must(t, client(t, a).Ping(t.Context()).Err())
}

func TestServersKeepApart(t *testing.T) {
	a, b := redistest.Start(t), redistest.Start(t)
	must(t, client(t, a).Set(t.Context(), "k", "a", 0).Err())
	if _, err := client(t, b).Get(t.Context(), "k").Result(); !errors.Is(err, goredis.Nil) {
		t.Fatalf("the other server's key: %v", err)
	}
}

func TestStopAndRestart(t *testing.T) {
	s := redistest.Start(t)
	addr := s.Addr()
	c := client(t, s)
	must(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Stop()
	s.Stop()
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Fatal("a stopped server listens")
	}
	s.Restart(t)
	if s.Addr() != addr {
		t.Fatalf("restarted on %s instead of %s", s.Addr(), addr)
	}
	if n, err := c.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Fatalf("a server in memory only kept %d keys, %v", n, err)
	}
}

func TestKilledServerFindsItsFiles(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	c := client(t, s)
	must(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Kill()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart(t)
	if v, err := c.Get(t.Context(), "k").Result(); err != nil || v != "v" {
		t.Fatalf("after the restart: %q, %v", v, err)
	}
}

func TestManyServersAtOnce(t *testing.T) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		addrs = map[string]bool{}
	)
	for range 8 {
		wg.Go(func() {
			s := redistest.Start(t)
			mu.Lock()
			defer mu.Unlock()
			addrs[s.Addr()] = true
		})
	}
	wg.Wait()
	if len(addrs) != 8 {
		t.Fatalf("8 servers have %d addresses", len(addrs))
	}
}

func TestServerBehindAPasswordStarts(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "secret")
	err := client(t, s).Ping(context.Background()).Err()
	if err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Fatalf("without the password: %v", err)
	}
}

// failure is a test that records how it failed.
type failure struct {
	testing.TB
	said string
}

func (f *failure) Helper() {}

func (f *failure) Fatal(args ...any) {
	f.said, _ = args[0].(string)
	panic(f)
}

func TestMissingServerNamesTheCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := &failure{TB: t}
	defer func() {
		if recover() != f || !strings.Contains(f.said, "sudo apt-get install -y redis-server") || strings.Contains(f.said, "\n") {
			t.Fatalf("said %q", f.said)
		}
	}()
	redistest.Start(f)
	t.Fatal("started without redis-server in PATH")
}
