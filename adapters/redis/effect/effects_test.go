package effect_test

import (
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func newEffects(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) porttest.EffectStore {
	return porttest.EffectStore{
		Effects: effect.New(client, keys.Custom(), time.Hour),
		Add: func(counter string) ports.Effect {
			return ports.Effect{Commands: []ports.Command{{"INCR", counter}, {"HINCRBY", counter + ":also", "n", "1"}}}
		},
		Count: func(counter string) int {
			n, err := client.Get(t.Context(), counter).Int()
			if err != nil && !errors.Is(err, goredis.Nil) {
				t.Error(err)
			}
			if also, _ := client.HGet(t.Context(), counter+":also", "n").Int(); also != n {
				t.Errorf("%q stands at %d and %d", counter, n, also)
			}
			return n
		},
		Fail: func(counter string) func() {
			if err := client.SAdd(t.Context(), counter+":also", "foreign").Err(); err != nil {
				t.Error(err)
			}
			return func() { client.Del(t.Context(), counter+":also") }
		},
	}
}

func TestEffects(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Effects(t, func(t *testing.T) porttest.EffectStore { return newEffects(t, client, rig.NewKeys(t, 1)) })
	})
}

func TestAnEffectIsForgottenAfterItsTime(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	e := effect.New(client, rig.NewKeys(t, 1).Custom(), time.Minute)
	if made, err := e.Once(t.Context(), "badge", rig.Delivery, ports.Effect{Commands: []ports.Command{{"INCR", "a"}}}); !made || err != nil {
		t.Fatalf("made is %v, error %v", made, err)
	}
	markers := client.Keys(t.Context(), "*cc:once:*").Val()
	if len(markers) != 1 {
		t.Fatalf("markers %q", markers)
	}
	if ttl := client.PTTL(t.Context(), markers[0]).Val(); ttl > time.Minute || ttl < 50*time.Second {
		t.Errorf("the marker lives for %v", ttl)
	}
}

// TestEveryCommandOfAnEffect makes an effect of each allowed command, and again with a key of another type.
func TestEveryCommandOfAnEffect(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys := rig.NewKeys(t, 1)
		e := effect.New(client, keys.Custom(), time.Hour)
		n := 0
		once := func(commands ...ports.Command) (bool, error) {
			n++
			id := rig.Delivery
			id.Event += domain.EventID(strconv.Itoa(n))
			return e.Once(t.Context(), "x", id, ports.Effect{Commands: commands})
		}
		p := keys.Prefix()
		kinds := map[string][]ports.Command{
			"string": {
				{"SET", p + "string", "1"},
				{"set", p + "string", "1", "EX", "100"},
				{"SET", p + "string", "1", "px", "100000"},
				{"INCR", p + "string"},
				{"INCRBY", p + "string", "-5"},
				{"DECR", p + "string"},
				{"DECRBY", p + "string", "5"},
				{"APPEND", p + "string", "0"},
			},
			"hash": {{"HSET", p + "hash", "f", "1", "g", "x"}, {"HINCRBY", p + "hash", "f", "2"}, {"HDEL", p + "hash", "g", "h"}},
			"set":  {{"SADD", p + "set", "a", "b"}, {"SREM", p + "set", "a"}},
			"zset": {{"ZADD", p + "zset", "1.5", "a", "-2", "b"}, {"ZINCRBY", p + "zset", "1e3", "a"}, {"ZREM", p + "zset", "b"}},
			"list": {{"RPUSH", p + "list", "a"}, {"LPUSH", p + "list", "b", "c"}, {"LTRIM", p + "list", "0", "-2"}},
			"stream": {
				{"XADD", p + "stream", "*", "f", "v"}, {"XADD", p + "stream", "MAXLEN", "~", "10", "*", "f", "v", "g", "w"}, {"XADD", p + "stream", "maxlen", "10", "*", "f", "v"},
			},
		}
		anything := []string{"EXPIRE", "PEXPIRE", "PERSIST", "DEL", "UNLINK"}
		for kind, commands := range kinds {
			for _, c := range commands {
				if made, err := once(c); !made || err != nil {
					t.Errorf("%q: made is %v, error %v", c, made, err)
				}
			}
			if got := client.Type(t.Context(), p+kind).Val(); got != kind {
				t.Errorf("%q holds a %s", p+kind, got)
			}
		}
		for kind := range kinds {
			for other, commands := range kinds {
				for _, c := range commands {
					if kind == other || strings.EqualFold(c[0], "SET") {
						continue
					}
					c = append(ports.Command{c[0], p + kind}, c[2:]...)
					before := kindsUnder(t, client, p)
					made, err := once(ports.Command{"SADD", p + "first", "a"}, c)
					var foreign *ports.ForeignValueError
					if made || !errors.Is(err, ports.ErrForeignValue) || !errors.As(err, &foreign) || foreign.Key != p+kind || foreign.Holds != "a "+kind {
						t.Errorf("%q: made is %v, error %v", c, made, err)
					}
					if after := kindsUnder(t, client, p); !maps.Equal(before, after) {
						t.Errorf("%q was refused and left %v", c, after)
					}
				}
			}
			for _, name := range anything {
				c := ports.Command{name, p + kind}
				if name == "EXPIRE" || name == "PEXPIRE" {
					c = append(c, "100000")
				}
				if made, err := once(c); !made || err != nil {
					t.Errorf("%q: made is %v, error %v", c, made, err)
				}
			}
		}
		if made, err := once(ports.Command{"PUBLISH", p + "channel", "hello"}); !made || err != nil {
			t.Errorf("PUBLISH: made is %v, error %v", made, err)
		}
	})
}

// kindsUnder returns the keys under a prefix with their types, without the markers.
func kindsUnder(t *testing.T, client goredis.UniversalClient, prefix string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, key := range client.Keys(t.Context(), prefix+"*").Val() {
		found[key] = client.Type(t.Context(), key).Val()
	}
	return found
}

func TestCommandsThatMightFailHalfWayAreRefused(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	e := effect.New(client, rig.NewKeys(t, 1).Custom(), time.Hour)
	for _, line := range []string{
		"", "GET a", "EVAL a", "SET", "SET a", "SET a 1 NX", "SET a 1 EX", "SET a 1 EX 0", "SET a 1 EX x", "SET a 1 EX 99999999999999999",
		"INCR", "INCR a b", "INCRBY a", "INCRBY a 1.5", "INCRBY a 1000000000000000000", "INCRBY a +1", "INCRBY a 01",
		"HSET a f", "HSET a f 1 g", "HINCRBY a f x", "HDEL a", "SADD a", "ZADD a", "ZADD a x m", "ZADD a 1", "ZADD a nan m", "ZADD a inf m", "ZADD a NX 1 m",
		"ZINCRBY a x m", "ZREM a", "RPUSH a", "LTRIM a 0", "LTRIM a 0 x", "XADD a", "XADD a *", "XADD a * f", "XADD a 1-1 f v", "XADD a MAXLEN", "XADD a MAXLEN ~",
		"XADD a MAXLEN ~ 5", "XADD a MAXLEN -5 * f v", "XADD a MAXLEN x * f v", "DEL", "DEL a b", "EXPIRE a", "EXPIRE a -1", "EXPIRE a 10 NX", "PUBLISH c",
	} {
		c := ports.Command(strings.Fields(line))
		made, err := e.Once(t.Context(), "x", rig.Delivery, ports.Effect{On: "a", Commands: []ports.Command{{"SADD", "first", "a"}, c}})
		var invalid *domain.InvalidError
		if made || !errors.As(err, &invalid) || invalid.Field != "command 2" || invalid.Allowed == "" {
			t.Errorf("%q: made is %v, error %v", line, made, err)
		}
	}
	for what, commands := range map[string][]ports.Command{
		"counting what was set":           {{"SET", "a", "x"}, {"INCR", "a"}},
		"counting in a field that was":    {{"HSET", "a", "f", "x"}, {"HINCRBY", "a", "f", "1"}},
		"counting what was lengthened":    {{"APPEND", "a", "x"}, {"INCRBY", "a", "1"}},
		"a command with too many members": {append(ports.Command{"SADD", "a"}, make([]string, 1000)...)},
	} {
		if made, err := e.Once(t.Context(), "x", rig.Delivery, ports.Effect{Commands: commands}); made || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: made is %v, error %v", what, made, err)
		}
	}
	for _, on := range []string{"a}b", "{}", "a{}b"} {
		if made, err := e.Once(t.Context(), "x", rig.Delivery, ports.Effect{On: on, Commands: []ports.Command{{"INCR", "a"}}}); made || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("on %q: made is %v, error %v", on, made, err)
		}
	}
	if left := rig.Dump(t, client); len(left) > 0 {
		t.Errorf("something was written: %v", left)
	}
}

// TestWhatAKeyHoldsIsFollowedThroughAnEffect has commands of one effect use the results of earlier ones.
func TestWhatAKeyHoldsIsFollowedThroughAnEffect(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys := rig.NewKeys(t, 1)
		e := effect.New(client, keys.Custom(), time.Hour)
		a := keys.Prefix() + "a"
		for i, tc := range []struct {
			held     string // before the effect
			commands []ports.Command
			holds    string // part of the error; "" if the effect is made
		}{
			{"", []ports.Command{{"SADD", a, "x"}, {"SREM", a, "x"}, {"EXPIRE", a, "9"}}, ""},
			{"", []ports.Command{{"SADD", a, "x"}, {"HSET", a, "f", "v"}}, "a set"},
			{"", []ports.Command{{"EXPIRE", a, "9"}, {"HSET", a, "f", "v"}}, ""},
			{"text", []ports.Command{{"DEL", a}, {"RPUSH", a, "x", "y"}}, ""},
			{"text", []ports.Command{{"DEL", a}, {"INCR", a}, {"INCRBY", a, "5"}}, ""},
			{"text", []ports.Command{{"INCR", a}}, "a text that does not count"},
			{"1000000000000000000", []ports.Command{{"INCR", a}}, "a text that does not count"},
			{strings.Repeat("1", 100), []ports.Command{{"INCR", a}}, "a text that does not count"},
			{"-999999999999999999", []ports.Command{{"DECRBY", a, "7"}}, "a text that does not count"},
			{"-99999999999999999", []ports.Command{{"DECRBY", a, "7"}}, ""},
			{"7", []ports.Command{{"INCR", a}, {"INCR", a}}, ""},
			{"7", []ports.Command{{"SET", a, "x"}, {"HSET", a, "f", "v"}}, "a string"},
		} {
			client.Del(t.Context(), a)
			if tc.held != "" {
				client.Set(t.Context(), a, tc.held, 0)
			}
			id := rig.Delivery
			id.Event += domain.EventID(strconv.Itoa(i))
			made, err := e.Once(t.Context(), "x", id, ports.Effect{Commands: tc.commands})
			var foreign *ports.ForeignValueError
			if errors.As(err, &foreign) {
				if foreign.Holds != tc.holds {
					t.Errorf("%q: %v", tc.commands, err)
				}
				continue
			}
			if err != nil || !made || tc.holds != "" {
				t.Errorf("%q: made is %v, error %v", tc.commands, made, err)
			}
		}
		field := ports.Effect{Commands: []ports.Command{{"HINCRBY", a, "f", "1"}}}
		client.Del(t.Context(), a)
		client.HSet(t.Context(), a, "f", "many")
		if made, err := e.Once(t.Context(), "field", rig.Delivery, field); made || !errors.Is(err, ports.ErrForeignValue) {
			t.Errorf("a field that does not count: made is %v, error %v", made, err)
		}
	})
}

// TestAnEffectWhoseAnswerWasLostIsThereOnce loses the replies to the first calls.
func TestAnEffectWhoseAnswerWasLostIsThereOnce(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	client, direct := rig.Connect(t, proxy.URL()), rig.Connect(t, server.URL())
	e := effect.New(client, rig.NewKeys(t, 1).Custom(), time.Hour)
	var lost atomic.Int64
	lose := func(piece []byte) bool { return !strings.HasPrefix(string(piece), "*1\r\n:1") || lost.Add(1) > 1 }
	proxy.Reply.Store(&lose)
	effect := ports.Effect{Commands: []ports.Command{{"INCR", "a"}}}
	for calls := 0; ; calls++ {
		made, err := e.Once(t.Context(), "badge", rig.Delivery, effect)
		if err == nil {
			if made {
				t.Error("it was made again")
			}
			break
		}
		if !errors.Is(err, ports.ErrUnavailable) || calls > 10 {
			t.Fatal(err)
		}
	}
	if n, err := direct.Get(t.Context(), "a").Int(); n != 1 || err != nil || lost.Load() == 0 {
		t.Errorf("the counter stands at %d, error %v, after %d answers lost", n, err, lost.Load())
	}
}

func TestAFullMemoryTakesNoEffect(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	e := effect.New(client, rig.NewKeys(t, 1).Custom(), time.Hour)
	effect := ports.Effect{Commands: []ports.Command{{"DEL", "old"}, {"INCR", "a"}}}
	client.Set(t.Context(), "old", "x", 0)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if made, err := e.Once(t.Context(), "badge", rig.Delivery, effect); made || !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("made is %v, error %v", made, err)
	}
	if left := rig.Dump(t, client); len(left) != 1 {
		t.Errorf("left are %v, want the old one only", left)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if made, err := e.Once(t.Context(), "badge", rig.Delivery, effect); !made || err != nil {
		t.Errorf("afterwards made is %v, error %v", made, err)
	}
}

// TestAFailureThatNobodyCouldForeseeLeavesNoMarker uses a stream that has run out of ids.
func TestAFailureThatNobodyCouldForeseeLeavesNoMarker(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	e := effect.New(client, rig.NewKeys(t, 1).Custom(), time.Hour)
	last := &goredis.XAddArgs{Stream: "s", ID: "18446744073709551615-18446744073709551615", Values: []any{"f", "v"}}
	if err := client.XAdd(t.Context(), last).Err(); err != nil {
		t.Fatal(err)
	}
	effect := ports.Effect{Commands: []ports.Command{{"XADD", "s", "*", "f", "v"}}}
	if made, err := e.Once(t.Context(), "x", rig.Delivery, effect); made || !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("made is %v, error %v", made, err)
	}
	client.Del(t.Context(), "s")
	if made, err := e.Once(t.Context(), "x", rig.Delivery, effect); !made || err != nil {
		t.Errorf("afterwards made is %v, error %v", made, err)
	}
}

// testEffectInAMigratingSlot makes an effect on keys of which some have moved.
func testEffectInAMigratingSlot(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	e := effect.New(client, rig.ClusterKeys(t).Custom(), time.Hour)
	client.Set(t.Context(), "{moves}:here", "1", 0)
	effect := ports.Effect{Commands: []ports.Command{{"INCR", "{moves}:here"}, {"INCR", "{moves}:gone"}}}
	end := cluster.Migrate(t, "{moves}")
	before := rig.ClusterDump(t, cluster)
	if made, err := e.Once(t.Context(), "x", rig.Delivery, effect); made || !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("made is %v, error %v", made, err)
	}
	if !maps.Equal(before, rig.ClusterDump(t, cluster)) {
		t.Error("it failed and left something")
	}
	end()
	if made, err := e.Once(t.Context(), "x", rig.Delivery, effect); !made || err != nil {
		t.Errorf("afterwards made is %v, error %v", made, err)
	}
}

func testEffectsInSlots(t *testing.T, client goredis.UniversalClient) {
	e := effect.New(client, rig.ClusterKeys(t).Custom(), time.Hour)
	apart := ports.Effect{Commands: []ports.Command{{"INCR", "{a}1"}, {"INCR", "{b}1"}}}
	if made, err := e.Once(t.Context(), "x", rig.Delivery, apart); made || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("keys in two slots: made is %v, error %v", made, err)
	}
	for _, on := range []string{"a", "a{b", "user:{ada}:badge", "日本", ""} {
		commands := []ports.Command{{"PUBLISH", "channel", "hello"}}
		if on != "" {
			commands = append(commands, ports.Command{"INCR", on})
		}
		for _, want := range []bool{true, false} {
			if made, err := e.Once(t.Context(), "x", rig.Delivery, ports.Effect{On: on, Commands: commands}); made != want || err != nil {
				t.Errorf("on %q: made is %v, error %v, want %v", on, made, err, want)
			}
		}
	}
}

func TestEffects_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := rig.Connect(t, cluster.URL())
	porttest.Effects(t, func(t *testing.T) porttest.EffectStore { return newEffects(t, client, rig.ClusterKeys(t)) })
	testEffectsInSlots(t, client)
	testEffectInAMigratingSlot(t, cluster, client)
}

func TestUnderTheLeastRights(t *testing.T) {
	rig.RunUnderLeastRights(t, "TestEffects", "TestEveryCommandOfAnEffect")
}
