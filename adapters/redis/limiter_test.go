package redis_test

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// forward simulates the passage of time for the keys under the prefix: it moves each key's expiry, the ends in lists of typing marks, and the times
// of GCRA.
func forward(t *testing.T, client goredis.UniversalClient, keys redis.Keys) func(time.Duration) {
	const script = `
		local prefix, ms = ARGV[1], tonumber(ARGV[2])
		for _, key in ipairs(redis.call('KEYS', prefix .. '*')) do
			local left, kind = redis.call('PTTL', key), redis.call('TYPE', key).ok
			if left >= 0 and left <= ms then
				redis.call('DEL', key)
			elseif left >= 0 then
				if kind == 'zset' then
					for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ms, member) end
				elseif kind == 'string' and string.find(key, 'cc:gcra:', 1, true) then
					redis.call('SET', key, redis.call('GET', key) - ms / 1000)
				end
				redis.call('PEXPIRE', key, left - ms)
			end
		end`
	return func(d time.Duration) {
		on := func(ctx context.Context, client *goredis.Client) error {
			err := client.Eval(ctx, script, nil, keys.Prefix(), d.Milliseconds()).Err()
			if errors.Is(err, goredis.Nil) {
				return nil
			}
			return err
		}
		var err error
		switch c := client.(type) {
		case *goredis.ClusterClient:
			err = c.ForEachMaster(t.Context(), on)
		case *goredis.Client:
			err = on(t.Context(), c)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func testLimiter(t *testing.T, client goredis.UniversalClient, keys redis.Keys) {
	porttest.Limiter(t, func(t *testing.T) (ports.Limiter, func(time.Duration)) {
		return redis.NewLimiter(client, keys), forward(t, client, keys)
	})
}

func TestLimiter(t *testing.T) {
	servers(t, func(t *testing.T, client goredis.UniversalClient) {
		testLimiter(t, client, newKeys(t, 1))
		keys := newKeys(t, 1)
		porttest.LimitsTogether(t, redis.NewLimiter(client, keys), forward(t, client, keys))
		porttest.LimitTaker(t, open(t, client, keys), redis.NewLimiter(client, keys))
	})
}

// TestLimitsTogetherAreOneRoundTrip counts the commands that Redis receives, while other programs also count.
func TestLimitsTogetherAreOneRoundTrip(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	l := redis.NewLimiter(client, plainKeys(t))
	takes := []ports.Take{{Limit: fiveLogins, N: 1, Name: []string{"send", "ada"}}, {Limit: fivePaced, N: 1, Name: []string{"send-in-chat", "ada", "c"}}}
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
			before := dump(t, client)
			d, err := l.AllowAll(t.Context(), takes...)
			var foreign *ports.ForeignValueError
			if !errors.As(err, &foreign) || foreign.Key != key || d != nil || !maps.Equal(before, dump(t, client)) {
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
	l := redis.NewLimiter(client, clusterKeys(t))
	one := ports.Limit{Algorithm: ports.GCRA, Rate: 1, Per: time.Hour}
	takes := []ports.Take{{Limit: fiveLogins, N: 1, Name: []string{"together", "ada"}}, {Limit: one, N: 1, Name: []string{"together", "ada", "c"}}}
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
	if d, err := l.Allow(t.Context(), fiveLogins, 0, "together", "ada"); err != nil || d.Remaining != 3 {
		t.Errorf("%+v, error %v", d, err)
	}
}

var (
	fiveLogins = ports.Limit{Rate: 5, Per: 15 * time.Minute}
	fivePaced  = ports.Limit{Algorithm: ports.GCRA, Rate: 5, Per: 15 * time.Minute}
)

// TestOtherProgramsCountOnTheSameKey counts like the TypeScript services, which set the TTL in a second step.
func TestOtherProgramsCountOnTheSameKey(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	l := redis.NewLimiter(client, plainKeys(t))
	const key = "ratelimit:login:ada"
	allow := func(want bool, remaining int) {
		t.Helper()
		d, err := l.Allow(t.Context(), fiveLogins, 1, "login", "ada")
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
	if _, err := l.Allow(t.Context(), fivePaced, 1, "login", "ada"); err != nil {
		t.Error(err)
	}
	if all := dump(t, client); len(all) != 2 || all["cc:gcra:login:ada"] == "" {
		t.Errorf("there are %q", all)
	}
}

// TestWhatGCRALeavesIsNotRoundedDown uses intervals that are no exact floating-point numbers.
func TestWhatGCRALeavesIsNotRoundedDown(t *testing.T) {
	servers(t, func(t *testing.T, client goredis.UniversalClient) {
		l := redis.NewLimiter(client, newKeys(t, 1))
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
	client := connect(t, redistest.Start(t).URL())
	l := redis.NewLimiter(client, plainKeys(t))
	for _, where := range []struct {
		limit ports.Limit
		key   string
	}{{fiveLogins, "ratelimit:a"}, {fivePaced, "cc:gcra:a"}} {
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
			before := dump(t, client)
			d, err := l.Allow(t.Context(), where.limit, 1, "a")
			var foreign *ports.ForeignValueError
			if !errors.As(err, &foreign) || foreign.Key != where.key || d.Allowed || !maps.Equal(before, dump(t, client)) {
				t.Errorf("%s under %s: %+v, error %v", what, where.key, d, err)
			}
		}
	}
	for _, text := range []string{"-1", "1.5", "99999999999999999999", " 1", "1e3"} {
		client.Set(t.Context(), "ratelimit:a", text, 0)
		if d, err := l.Allow(t.Context(), fiveLogins, 1, "a"); !errors.Is(err, ports.ErrForeignValue) || d.Allowed {
			t.Errorf("%q under a counter: %+v, error %v", text, d, err)
		}
	}
	// A number is a time: one in the past, or one that this limit cannot have reached.
	for _, text := range []string{"7", "-1", "1e300", "inf", "nan", "99999999999999999999"} {
		client.Set(t.Context(), "cc:gcra:a", text, 0)
		for want := 4; want >= 0; want-- {
			if d, err := l.Allow(t.Context(), fivePaced, 1, "a"); err != nil || !d.Allowed || d.Remaining != want {
				t.Errorf("%q under GCRA: %+v, error %v, want %d left", text, d, err, want)
			}
		}
		if d, err := l.Allow(t.Context(), fivePaced, 1, "a"); err != nil || d.Allowed {
			t.Errorf("%q under GCRA: %+v, error %v, want a refusal", text, d, err)
		}
		if ttl := client.TTL(t.Context(), "cc:gcra:a").Val(); ttl <= 0 || ttl > 16*time.Minute {
			t.Errorf("%q under GCRA: the state lives for %v", text, ttl)
		}
	}
}

func TestLimitsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client := connect(t, server.URL())
	l := redis.NewLimiter(client, plainKeys(t))
	take := func(limited time.Duration) (errs []error) {
		for _, limit := range []ports.Limit{fiveLogins, fivePaced} {
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
	for _, limit := range []ports.Limit{fiveLogins, fivePaced} {
		if d, err := l.Allow(t.Context(), limit, 5, "a"); err != nil || !d.Allowed {
			t.Errorf("flushed: %+v, error %v", d, err)
		}
	}
}

// TestTypingMarksBesideForeignValues puts other values under the keys of a chat's list of marks and of a mark. An append succeeds.
func TestTypingMarksBesideForeignValues(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	keys := plainKeys(t)
	log, marks := open(t, client, keys), redis.NewTypingMarks(client, keys, domain.TypingTTL)
	appended(t, log, created("c"))
	start := domain.TypingStart{Chat: "c", User: "ada", At: time.Now(), ExpiresAt: time.Now().Add(domain.TypingTTL)}
	began := func(want bool) {
		t.Helper()
		if set, err := marks.Start(t.Context(), start); err != nil || set != want {
			t.Fatalf("start gave %v, error %v", set, err)
		}
	}
	began(true)
	list := ""
	for key, kind := range kinds(t, client) {
		if kind == "zset" && strings.HasSuffix(key, ":c:t") {
			list = key
		}
	}
	for key, kind := range map[string]string{list: "zset", "typing:c:ada": "string"} {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > domain.TypingTTL || kinds(t, client)[key] != kind {
			t.Errorf("%q is a %s and lives for %v", key, kinds(t, client)[key], ttl)
		}
	}
	client.Del(t.Context(), list)
	client.Set(t.Context(), list, "foreign", 0)
	send := sent("c", "m")
	send.EndsTyping = "ada"
	got, err := log.Append(t.Context(), send)
	if err != nil || !got.EndedTyping || client.Exists(t.Context(), "typing:c:ada").Val() != 0 || client.Get(t.Context(), list).Val() != "foreign" {
		t.Errorf("a send beside a foreign list gave %+v, error %v", got, err)
	}
	before := dump(t, client)
	if set, err := marks.Start(t.Context(), start); set || !errors.Is(err, ports.ErrForeignValue) || !maps.Equal(before, dump(t, client)) {
		t.Errorf("a start beside a foreign list gave %v, error %v", set, err)
	}
	if _, err := marks.Of(t.Context(), "c"); !errors.Is(err, ports.ErrForeignValue) {
		t.Errorf("who is typing, of a foreign list: %v", err)
	}
	if err := marks.Stop(t.Context(), "c", "ada"); err != nil {
		t.Errorf("a stop beside a foreign list: %v", err)
	}
	client.Del(t.Context(), list)
	client.RPush(t.Context(), "typing:c:ada", "foreign") // without a TTL
	began(true)
	if ttl := client.PTTL(t.Context(), "typing:c:ada").Val(); ttl <= 0 {
		t.Errorf("a mark over a foreign one lives for %v", ttl)
	}
	client.ZAdd(t.Context(), list, goredis.Z{Score: 1e15, Member: "foreign"}, goredis.Z{Score: 1e15, Member: "typing:c:gone"})
	if users, err := marks.Of(t.Context(), "c"); err != nil || len(users) != 1 || users[0] != "ada" {
		t.Errorf("typing are %q, error %v", users, err)
	}
	client.Del(t.Context(), "typing:c:ada") // as another program may
	if users, err := marks.Of(t.Context(), "c"); err != nil || len(users) != 0 {
		t.Errorf("after another program ended it typing are %q, error %v", users, err)
	}
}

func TestLimiter_Cluster(t *testing.T) {
	client := connect(t, redistest.StartCluster(t, 3).URL())
	testLimiter(t, client, clusterKeys(t))
	testLimitsOnACluster(t, client)
}
