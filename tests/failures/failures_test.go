package failures

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(silent{})
	redistest.Main(m)
}

// silent discards the log of go-redis, which reports that it cannot connect.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// patience bounds a call, and the recovery after a fault.
const patience = wait.Limit

// timeout is the core's CommandTimeout in these tests. It is short because some calls wait until it ends.
const timeout = time.Second

// fault is a failure of Redis.
type fault struct {
	begin func()
	end   func()        // nil if the fault does not end
	until time.Duration // how long calls are retried until they answer; 0 if the first outcome counts
}

// scene returns the configuration of a core on its own, working Redis, and a fault of it.
type scene func(t *testing.T) (chatcore.Config, fault)

var scenes = map[string]scene{
	"stopped": func(t *testing.T) (chatcore.Config, fault) {
		server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
		return chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}, fault{begin: server.Stop, end: func() { server.Restart(t) }}
	},
	"frozen": func(t *testing.T) (chatcore.Config, fault) {
		server := redistest.Start(t)
		return chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}, fault{begin: server.Freeze, end: server.Thaw}
	},
	"slow": func(t *testing.T) (chatcore.Config, fault) {
		proxy := redistest.StartProxy(t, redistest.Start(t))
		late := func([]byte) bool {
			<-time.After(timeout / 10)
			return true
		}
		return chatcore.Config{Redis: chatcore.RedisConfig{URL: proxy.URL()}}, fault{begin: func() { proxy.Reply.Store(&late) }, end: func() { proxy.Reply.Store(nil) }}
	},
	"flushed": func(t *testing.T) (chatcore.Config, fault) {
		server := redistest.Start(t)
		client := server.Client(t)
		return chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}, fault{begin: func() {
			if err := client.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
		}}
	},
	"failing over": func(t *testing.T) (chatcore.Config, fault) {
		cluster := redistest.StartReplicatedCluster(t, 3, 1)
		cluster.Settle(t)
		return chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}}, fault{begin: func() {
			for shard := range 3 {
				cluster.KillMaster(t, shard).Restart(t)
			}
		}, until: 5 * time.Second}
	},
}

// sentinels are the errors that cells name.
var sentinels = map[string]error{
	"ErrUnavailable":    ports.ErrUnavailable,
	"ErrOutcomeUnknown": ports.ErrOutcomeUnknown,
	"ErrLogLost":        ports.ErrLogLost,
	"ErrChatNotFound":   domain.ErrChatNotFound,
	"ErrNoSession":      domain.ErrNoSession,
}

// outcome returns the name of a call's outcome in the table.
func outcome(got string, err error) string {
	if err == nil {
		return got
	}
	var names []string
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			names = append(names, name)
		}
	}
	// If an error is two of them, the more specific one counts: an append whose outcome is unknown also says that Redis did not answer.
	for _, name := range []string{"ErrLogLost", "ErrOutcomeUnknown"} {
		if slices.Contains(names, name) {
			return name
		}
	}
	if len(names) == 1 {
		return names[0]
	}
	return err.Error()
}

// TestFailures makes every call under every fault. Its outcome must be one of its cell's. Where a fault ends, each call must then answer again
// without a restart.
func TestFailures(t *testing.T) {
	tab := readTable(t)
	if want := slices.Sorted(maps.Keys(calls)); !slices.Equal(slices.Sorted(slices.Values(tab.calls)), want) {
		t.Errorf("the table has the calls\n%s\nthe tests have\n%s", strings.Join(slices.Sorted(slices.Values(tab.calls)), "\n"), strings.Join(want, "\n"))
	}
	if want := slices.Sorted(maps.Keys(scenes)); !slices.Equal(slices.Sorted(slices.Values(tab.faults)), want) {
		t.Errorf("the table has the faults %v, the tests have %v", tab.faults, want)
	}
	for _, name := range tab.faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, fault := scenes[name](t)
			subject := open(t, config)
			for _, call := range tab.calls {
				if got := outcome(calls[call](t.Context(), subject)); got != answers && got != loads {
					t.Fatalf("before anything happens, %s: %s", call, got)
				}
			}
			fault.begin()
			for _, call := range tab.calls {
				if got, want := try(t, subject, call, fault.until), tab.cells[call][name]; !slices.Contains(want, got) {
					t.Errorf("%s: %s, want %s", call, got, strings.Join(want, " or "))
				}
			}
			if fault.end == nil {
				return
			}
			fault.end()
			for _, call := range tab.calls {
				if got := try(t, subject, call, patience); got != answers {
					t.Errorf("afterwards, %s: %s", call, got)
				}
			}
		})
	}
}

// try repeats a call until it answers, or for the given time.
func try(t *testing.T, s *subject, call string, until time.Duration) string {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); ; <-again.C {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		got := outcome(calls[call](ctx, s))
		late := ctx.Err() != nil
		cancel()
		if late {
			t.Errorf("%s hangs", call)
		}
		if got == answers || time.Since(began) >= until {
			return got
		}
	}
}

func open(t *testing.T, config chatcore.Config) *subject {
	t.Helper()
	config.Limits.Rates = map[string]app.Limit{"upload": {Rate: 1, Per: time.Hour}, app.LimitLogin: {Algorithm: ports.GCRA, Rate: 1, Per: time.Hour}}
	config.Redis.CommandTimeout, config.Logger = timeout, slog.New(slog.DiscardHandler)
	core, err := chatcore.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSubject(t.Context(), core)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := core.Wait(); err != nil && !errors.Is(err, ports.ErrLogLost) {
			t.Errorf("Run ended with %v", err)
		}
	})
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}
