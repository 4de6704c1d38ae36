package limit_test

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func testLimiter(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	porttest.Limiter(t, func(t *testing.T) (ports.Limiter, func(time.Duration)) {
		return limit.New(client, keys.Limits()), rig.Forward(t, client, keys)
	})
}

func TestLimiter(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		testLimiter(t, client, rig.NewKeys(t, 1))
		keys := rig.NewKeys(t, 1)
		porttest.LimitsTogether(t, limit.New(client, keys.Limits()), rig.Forward(t, client, keys))
		porttest.LimitTaker(t, rig.Open(t, client, keys), limit.New(client, keys.Limits()))
	})
}

// TestLimitsTogetherAreOneRoundTrip counts the commands that Redis receives, while other programs also count.
func TestLimitsTogetherAreOneRoundTrip(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	l := limit.New(client, rig.PlainKeys(t).Limits())
	takes := []ports.Take{{Limit: rig.FiveLogins, N: 1, Name: []string{"send", "ada"}}, {Limit: rig.FivePaced, N: 1, Name: []string{"send-in-chat", "ada", "c"}}}
	all := func(first, second int) {
		t.Helper()
		d, err := l.AllowAll(t.Context(), takes...)
		if err != nil || len(d) != 2 || d[0].Remaining != first || d[1].Remaining != second {
			t.Fatalf("%+v, error %v, want %d and %d left", d, err, first, second)
		}
	}
	all(4, 4)
	client.ConfigResetStat(t.Context())
	all(3, 3)
	if info := client.Info(t.Context(), "commandstats").Val(); strings.Count(info, "cmdstat_evalsha:calls=1,") != 1 || strings.Contains(info, "cmdstat_eval:") {
		t.Errorf("there were %s", info)
	}
	if n := client.Incr(t.Context(), "ratelimit:send:ada").Val(); n != 3 {
		t.Errorf("another program counts %d", n)
	}
	client.Persist(t.Context(), "ratelimit:send:ada")
	all(1, 2)
	if ttl := client.PTTL(t.Context(), "ratelimit:send:ada").Val(); ttl <= 14*time.Minute || ttl > 15*time.Minute {
		t.Errorf("the counter lives for %v", ttl)
	}
	client.Set(t.Context(), "ratelimit:send:ada", 7, 0) // has no TTL, and is full
	if d, err := l.AllowAll(t.Context(), takes...); err != nil || len(d) != 1 || d[0].Allowed || d[0].RetryAfter <= 14*time.Minute || d[0].RetryAfter > 15*time.Minute {
		t.Errorf("a full counter: %+v, error %v", d, err)
	}
	if ttl := client.PTTL(t.Context(), "ratelimit:send:ada").Val(); ttl <= 14*time.Minute || ttl > 15*time.Minute {
		t.Errorf("the full counter lives for %v", ttl)
	}
	for _, key := range []string{"ratelimit:send:ada", "cc:gcra:send-in-chat:ada:c"} {
		for _, plant := range []func() error{
			func() error { return client.RPush(t.Context(), key, "x").Err() },
			func() error { return client.Set(t.Context(), key, "{}", 0).Err() },
		} {
			client.FlushAll(t.Context())
			if err := plant(); err != nil {
				t.Fatal(err)
			}
			before := rig.Dump(t, client)
			d, err := l.AllowAll(t.Context(), takes...)
			var foreign *ports.ForeignValueError
			if !errors.As(err, &foreign) || foreign.Key != key || d != nil || !maps.Equal(before, rig.Dump(t, client)) {
				t.Errorf("foreign under %s: %+v, error %v", key, d, err)
			}
		}
	}
	for _, text := range []string{"-1", "1.5", "007", "9999999999999999", " 1", "1e3", "inf"} {
		client.FlushAll(t.Context())
		client.Set(t.Context(), "ratelimit:send:ada", text, 0)
		if d, err := l.AllowAll(t.Context(), takes...); !errors.Is(err, ports.ErrForeignValue) || d != nil {
			t.Errorf("%q under a counter: %+v, error %v", text, d, err)
		}
	}
}

// testLimitsOnACluster uses names in two slots: if the second limit refuses, the calls taken from the first one remain taken.
func testLimitsOnACluster(t *testing.T, client goredis.UniversalClient) {
	l := limit.New(client, rig.ClusterKeys(t).Limits())
	one := ports.Limit{Algorithm: ports.GCRA, Rate: 1, Per: time.Hour}
	takes := []ports.Take{{Limit: rig.FiveLogins, N: 1, Name: []string{"together", "ada"}}, {Limit: one, N: 1, Name: []string{"together", "ada", "c"}}}
	for i, allowed := range []bool{true, false} {
		d, err := l.AllowAll(t.Context(), takes...)
		if err != nil || len(d) != 2 || d[1].Allowed != allowed || d[0].Remaining != 4-i {
			t.Errorf("%+v, error %v", d, err)
		}
	}
	takes[0], takes[1] = takes[1], takes[0]
	if d, err := l.AllowAll(t.Context(), takes...); err != nil || len(d) != 1 || d[0].Allowed {
		t.Errorf("the other way round: %+v, error %v", d, err)
	}
	if d, err := l.Allow(t.Context(), rig.FiveLogins, 0, "together", "ada"); err != nil || d.Remaining != 3 {
		t.Errorf("%+v, error %v", d, err)
	}
}

// TestOtherProgramsCountOnTheSameKey counts like the TypeScript services, which set the TTL in a second step.
func TestOtherProgramsCountOnTheSameKey(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	l := limit.New(client, rig.PlainKeys(t).Limits())
	const key = "ratelimit:login:ada"
	allow := func(want bool, remaining int) {
		t.Helper()
		d, err := l.Allow(t.Context(), rig.FiveLogins, 1, "login", "ada")
		if ttl := client.PTTL(t.Context(), key).Val(); err != nil || d.Allowed != want || d.Remaining != remaining || ttl <= 14*time.Minute || ttl > 15*time.Minute {
			t.Fatalf("%+v, error %v, want %v and %d; the counter lives for %v", d, err, want, remaining, ttl)
		}
	}
	count := func(want int64) {
		t.Helper()
		if got, err := client.Incr(t.Context(), key).Result(); err != nil || got != want {
			t.Fatalf("another program counts %d, error %v, want %d", got, err, want)
		}
	}
	allow(true, 4)
	count(2)
	allow(true, 2)
	client.Persist(t.Context(), key) // as if the program had ended between its two steps
	allow(true, 1)
	client.Expire(t.Context(), key, 10*time.Hour)
	count(5)
	allow(false, 0)
	count(6)
	client.Persist(t.Context(), key) // and a refused caller is not refused forever
	allow(false, 0)
	if text := client.Get(t.Context(), key).Val(); text != "6" {
		t.Errorf("the counter is %q", text)
	}
	if _, err := l.Allow(t.Context(), rig.FivePaced, 1, "login", "ada"); err != nil {
		t.Error(err)
	}
	if all := rig.Dump(t, client); len(all) != 2 || all["cc:gcra:login:ada"] == "" {
		t.Errorf("there are %q", all)
	}
}

// TestWhatGCRALeavesIsNotRoundedDown uses intervals that are no exact floating-point numbers.
func TestWhatGCRALeavesIsNotRoundedDown(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		l := limit.New(client, rig.NewKeys(t, 1).Limits())
		for i := range 50 {
			limit := ports.Limit{Algorithm: ports.GCRA, Rate: 7, Per: 70*time.Second + time.Duration(i)*time.Millisecond, Burst: 5}
			if d, err := l.Allow(t.Context(), limit, 1, strconv.Itoa(i)); err != nil || d.Remaining != 4 {
				t.Errorf("%v: %+v, error %v", limit.Per, d, err)
			}
		}
	})
}

// TestForeignValuesWhereALimitWouldBe puts other values under a limit's keys: the result is an error or a new state, and never a panic.
func TestForeignValuesWhereALimitWouldBe(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	l := limit.New(client, rig.PlainKeys(t).Limits())
	for _, where := range []struct {
		limit ports.Limit
		key   string
	}{{rig.FiveLogins, "ratelimit:a"}, {rig.FivePaced, "cc:gcra:a"}} {
		for what, plant := range map[string]func() error{
			"a list": func() error { return client.RPush(t.Context(), where.key, "x").Err() },
			"a hash": func() error { return client.HSet(t.Context(), where.key, "f", "1").Err() },
			"a text": func() error { return client.Set(t.Context(), where.key, "{}", 0).Err() },
			"none":   func() error { return client.Set(t.Context(), where.key, "", 0).Err() },
		} {
			client.FlushAll(t.Context())
			if err := plant(); err != nil {
				t.Fatal(err)
			}
			before := rig.Dump(t, client)
			d, err := l.Allow(t.Context(), where.limit, 1, "a")
			var foreign *ports.ForeignValueError
			if !errors.As(err, &foreign) || foreign.Key != where.key || d.Allowed || !maps.Equal(before, rig.Dump(t, client)) {
				t.Errorf("%s under %s: %+v, error %v", what, where.key, d, err)
			}
		}
	}
	for _, text := range []string{"-1", "1.5", "99999999999999999999", " 1", "1e3"} {
		client.Set(t.Context(), "ratelimit:a", text, 0)
		if d, err := l.Allow(t.Context(), rig.FiveLogins, 1, "a"); !errors.Is(err, ports.ErrForeignValue) || d.Allowed {
			t.Errorf("%q under a counter: %+v, error %v", text, d, err)
		}
	}
	// A number is a time: one in the past, or one that this limit cannot have reached.
	for _, text := range []string{"7", "-1", "1e300", "inf", "nan", "99999999999999999999"} {
		client.Set(t.Context(), "cc:gcra:a", text, 0)
		for want := 4; want >= 0; want-- {
			if d, err := l.Allow(t.Context(), rig.FivePaced, 1, "a"); err != nil || !d.Allowed || d.Remaining != want {
				t.Errorf("%q under GCRA: %+v, error %v, want %d left", text, d, err, want)
			}
		}
		if d, err := l.Allow(t.Context(), rig.FivePaced, 1, "a"); err != nil || d.Allowed {
			t.Errorf("%q under GCRA: %+v, error %v, want a refusal", text, d, err)
		}
		if ttl := client.TTL(t.Context(), "cc:gcra:a").Val(); ttl <= 0 || ttl > 16*time.Minute {
			t.Errorf("%q under GCRA: the state lives for %v", text, ttl)
		}
	}
}

func TestLimitsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client := rig.Connect(t, server.URL())
	l := limit.New(client, rig.PlainKeys(t).Limits())
	take := func(limited time.Duration) (errs []error) {
		for _, limit := range []ports.Limit{rig.FiveLogins, rig.FivePaced} {
			ctx, cancel := context.WithTimeout(t.Context(), limited)
			_, err := l.Allow(ctx, limit, 1, "a")
			cancel()
			errs = append(errs, err)
		}
		return errs
	}
	expect := func(what string, want error) {
		t.Helper()
		limited := wait.Limit
		if want != nil { // the call may wait until its context ends
			limited = 300 * time.Millisecond
		}
		for _, err := range take(limited) {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
	}
	expect("at first", nil)
	server.Freeze()
	expect("frozen", ports.ErrUnavailable)
	server.Thaw()
	server.Kill()
	expect("killed", ports.ErrUnavailable)
	server.Restart(t)
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	for client.Ping(ctx).Err() != nil && ctx.Err() == nil { //nolint:revive // until the server is back
	}
	expect("restarted, with no script", nil)
	client.ScriptFlush(t.Context())
	expect("scripts flushed", nil)
	client.FlushAll(t.Context())
	for _, limit := range []ports.Limit{rig.FiveLogins, rig.FivePaced} {
		if d, err := l.Allow(t.Context(), limit, 5, "a"); err != nil || !d.Allowed {
			t.Errorf("flushed: %+v, error %v", d, err)
		}
	}
}

func TestLimiter_Cluster(t *testing.T) {
	client := rig.Connect(t, redistest.StartCluster(t, 3).URL())
	testLimiter(t, client, rig.ClusterKeys(t))
	testLimitsOnACluster(t, client)
}
