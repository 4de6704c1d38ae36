package cachecheck_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore"
	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/keyspace"
	"chatcore/tests/cachecheck"
	"chatcore/tests/child"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// processVariable makes the test binary one process of a miss storm. Its value is the address of the Redis.
const processVariable = "CHATCORE_CACHE_STORM"

func TestMain(m *testing.M) {
	if url := os.Getenv(processVariable); url != "" {
		if err := storm(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	redistest.Main(m)
}

// clock is the machine's clock.
type clock struct{}

func (clock) Now() time.Time                               { return time.Now() }
func (clock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }

// TestWhatReadsMayGiveOnRedis is the test of the same name in app/cache, on a Redis and in real time.
func TestWhatReadsMayGiveOnRedis(t *testing.T) {
	client := redistest.Shared(t).Client(t)
	for name, versioned := range map[string]bool{"no old values": false, "versions move forward": true} {
		t.Run(name, func(t *testing.T) {
			plans := make(chan cachecheck.Plan, 64)
			rapid.Check(t, func(rt *rapid.T) { // runs are slow: they are drawn here, and run concurrently
				select {
				case plans <- cachecheck.Draw(rt, versioned):
				default:
				}
			})
			close(plans)
			var wg sync.WaitGroup
			for plan := range plans {
				wg.Go(func() {
					keys, err := keyspace.New("check-"+uuid.NewString(), 1, false)
					if err != nil {
						t.Error(err)
						return
					}
					for _, fault := range cachecheck.Run(t.Context(), plan, cache.New(client, keys.Caches()), clock{}) {
						t.Errorf("%s; the plan was %+v", fault, plan)
					}
				})
			}
			wg.Wait()
		})
	}
}

const (
	processes  = 4
	perProcess = 2500
)

type loaded struct {
	N int64 `json:"n"`
}

// TestAMissStormOfProcessesMakesOneLoad makes ten thousand reads in four processes miss one value, all of them before it is loaded.
func TestAMissStormOfProcessesMakesOneLoad(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	var all []*child.Process
	for range processes {
		cmd := exec.Command(os.Args[0]) //nolint:gosec // this program
		cmd.Env = append(os.Environ(), processVariable+"="+server.URL())
		cmd.Stderr = os.Stderr
		process, err := child.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { process.End(syscall.SIGKILL, time.Second) })
		all = append(all, process)
	}
	for range processes { // each reports when all of its reads have missed
		if err := client.BLPop(t.Context(), wait.Limit, "missed").Err(); err != nil {
			t.Fatal(err)
		}
	}
	client.RPush(t.Context(), "go on", 1)
	for i, process := range all {
		select {
		case <-process.Exited():
			if err := process.Err(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		case <-time.After(wait.Limit):
			t.Fatalf("process %d does not end", i)
		}
	}
	if n, err := client.Get(t.Context(), "loads").Int(); n != 1 || err != nil {
		t.Errorf("%d loads, error %v", n, err)
	}
	if n, err := client.Get(t.Context(), "reads").Int(); n != processes*perProcess || err != nil {
		t.Errorf("%d reads, error %v", n, err)
	}
}

// storm is the main function of such a process.
func storm(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*wait.Limit)
	defer cancel()
	core, err := chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: url}})
	if err != nil {
		return err
	}
	defer func() { _ = core.Close() }()
	options, err := goredis.ParseURL(url)
	if err != nil {
		return err
	}
	client := goredis.NewClient(options)
	defer func() { _ = client.Close() }()
	cached, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "storm:", LoadTimeout: wait.Limit}, func(ctx context.Context, _ string) (loaded, error) {
		n, err := client.Incr(ctx, "loads").Result()
		if err != nil {
			return loaded{}, err
		}
		return loaded{n}, client.BLPop(ctx, wait.Limit, "go on").Err()
	})
	if err != nil {
		return err
	}
	errs := make(chan error, perProcess)
	for range perProcess {
		go func() {
			v, err := cached.Get(ctx, "one")
			if err == nil && v.N != 1 {
				err = fmt.Errorf("got what was loaded as %d", v.N)
			}
			errs <- err
		}()
	}
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for cached.Stats().Misses < perProcess {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	failed := []error{client.RPush(ctx, "missed", 1).Err()}
	for range perProcess {
		failed = append(failed, <-errs)
	}
	failed = append(failed, client.IncrBy(ctx, "reads", perProcess).Err())
	return errors.Join(failed...)
}
