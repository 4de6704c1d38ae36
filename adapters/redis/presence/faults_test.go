package presence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"pgregory.net/rapid"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func beats(t *testing.T, p ports.Presence, user domain.UserID, device domain.DeviceID) *domain.UserStatus {
	t.Helper()
	published, err := p.Heartbeat(t.Context(), user, domain.Connection{Device: device}, ports.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	return published
}

func statusOf(t *testing.T, p ports.Statuses, user domain.UserID) domain.Status {
	t.Helper()
	statuses, err := p.Statuses(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return statuses[0].Status
}

// TestPresenceIsAsTheWireContractSays reads the keys as other programs do.
func TestPresenceIsAsTheWireContractSays(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	p, e, ctx := rig.NewPresence(t, client, rig.PlainKeys(t)), newEar(t, client), t.Context()
	expires := func(key string, within time.Duration) {
		t.Helper()
		if ttl := client.PTTL(ctx, key).Val(); ttl <= within-5*time.Second || ttl > within {
			t.Errorf("%s lives for %v, want %v", key, ttl, within)
		}
	}
	beats(t, p, "user-789", "phone")
	beats(t, p, "user-789", `lap"top`)
	if got := client.Get(ctx, "presence:user-789").Val(); got != `{"userId":"user-789","devices":["lap\"top","phone"]}` {
		t.Errorf("devices %s", got)
	}
	expires("presence:user-789", porttest.PresenceTTL().Kept)
	expires("user:status:user-789", porttest.PresenceTTL().Status)
	status := func() string {
		text := client.Get(ctx, "user:status:user-789").Val()
		seen, err := time.Parse("2006-01-02T15:04:05.000Z", text[max(0, len(text)-26):max(0, len(text)-2)])
		if err != nil || time.Since(seen).Abs() > time.Minute {
			t.Errorf("status %s: %v", text, err)
		}
		return text[:max(0, len(text)-26)]
	}
	if got := status(); got != `{"userId":"user-789","status":"online","lastSeen":"` {
		t.Errorf("status %s", got)
	}
	if got := client.SMembers(ctx, "user:online:").Val(); !slices.Equal(got, []string{"user-789"}) {
		t.Errorf("online: %v", got)
	}
	for _, device := range []domain.DeviceID{"phone", `lap"top`} {
		if _, err := p.Leave(ctx, "user-789", domain.Connection{Device: device}, ports.Meta{TraceParent: "00-1-2-01"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := status(); got != `{"userId":"user-789","status":"offline","lastSeen":"` {
		t.Errorf("status %s", got)
	}
	expires("user:status:user-789", porttest.PresenceTTL().Status)
	expires("cc:presence:user-789", porttest.PresenceTTL().Kept)
	if got := client.Keys(ctx, "*").Val(); len(got) != 2 {
		t.Errorf("there are still %v", got)
	}
	payloads := e.payloads(ctx, t, "user:status")
	if len(payloads) != 2 || !strings.Contains(payloads[1], `"traceparent":"00-1-2-01"`) {
		t.Errorf("told %v", payloads)
	}
	sameAsTheCodec(t, payloads)
}

// sameAsTheCodec compares the payload of a script with that of the codec.
func sameAsTheCodec(t porttest.T, payloads []string) {
	t.Helper()
	codec := wireformat.New()
	for _, payload := range payloads {
		in, err := codec.DecodeLenient(wireformat.TypeUserStatus, []byte(payload), time.Now())
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if want, err := codec.EncodeLive(in.ID, in.Event.(domain.Ephemeral), in.Meta); err != nil || string(want) != payload {
			t.Fatalf("told\n%s, the codec writes\n%s, %v", payload, want, err)
		}
	}
}

// TestToldInstantsAreRedisTime compares the calendar in Lua with Go's.
func TestToldInstantsAreRedisTime(t *testing.T) {
	server := rig.Mini(t)
	client := rig.Connect(t, "redis://"+server.Addr())
	e := newEar(t, client)
	rapid.Check(t, func(rt *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()).Draw(rt, "at")).UTC()
		server.SetTime(at)
		keys := anyKeys(rt, false)
		p := rig.NewPresence(rt, client, keys)
		user := domain.UserID(rapid.SampledFrom([]string{"ann", `b"\`, "日本", "%s%1"}).Draw(rt, "user"))
		published, err := p.Heartbeat(t.Context(), user, rig.Phone, ports.Meta{CorrelationID: "c"})
		if err != nil || published == nil || !published.At.Equal(at) || !published.LastSeen.Equal(at) {
			rt.Fatalf("told %+v, error %v, at %v", published, err, at)
		}
		if heard := e.statuses(t.Context(), rt, keys); len(heard) != 1 || heard[0] != *published {
			rt.Fatalf("heard %+v, want %+v", heard, published)
		}
		sameAsTheCodec(rt, e.payloads(t.Context(), rt, keys.Channel(wireformat.TypeUserStatus)))
		if statuses, err := p.Statuses(t.Context(), user); err != nil || !statuses[0].LastSeen.Equal(at) {
			rt.Fatalf("status %+v, error %v", statuses, err)
		}
	})
}

// TestPresenceAfterTheClockWentBack guards against ends that are hours away because Redis's clock was ahead when they were written.
func TestPresenceAfterTheClockWentBack(t *testing.T) {
	server := rig.Mini(t)
	client := rig.Connect(t, "redis://"+server.Addr())
	e, keys := newEar(t, client), rig.NewKeys(t, 1)
	s := miniStore(t.Context(), t, server, client, keys, e)
	beats(t, s, "crashes", "phone")
	beats(t, s, "lives", "phone")
	s.Forward(-time.Hour)
	for range 12 {
		if _, _, err := s.Expire(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		s.Forward(10 * time.Second)
		if published := beats(t, s, "lives", "phone"); published != nil {
			t.Errorf("told %+v", published)
		}
	}
	if a, b := statusOf(t, s, "crashes"), statusOf(t, s, "lives"); a != domain.Offline || b != domain.Online {
		t.Errorf("who crashed is %d, who lives %d", a, b)
	}
	s.Forward(time.Hour)
	if published := beats(t, s, "lives", "phone"); published != nil {
		t.Errorf("told %+v", published)
	}
}

// TestPresence_ChoiceAfterTheClockWentBack guards against a chosen status that lasts for as long as the clock was ahead.
func TestPresence_ChoiceAfterTheClockWentBack(t *testing.T) {
	server := rig.Mini(t)
	client, keys := rig.Connect(t, "redis://"+server.Addr()), rig.NewKeys(t, 1)
	s := miniStore(t.Context(), t, server, client, keys, newEar(t, client))
	if _, err := s.SetStatus(t.Context(), "ann", domain.Busy, ports.Meta{}); err != nil {
		t.Fatal(err)
	}
	s.Forward(-time.Hour)
	if _, err := s.Leave(t.Context(), "ann", rig.Phone, ports.Meta{}); err != nil {
		t.Fatal(err)
	}
	if ttl := client.PTTL(t.Context(), keys.Presence().Record("ann")).Val(); ttl <= 0 || ttl > porttest.PresenceTTL().Kept {
		t.Errorf("the record lives for %v", ttl)
	}
	s.Forward(porttest.PresenceTTL().Kept)
	if published := beats(t, s, "ann", "phone"); published == nil || published.Status != domain.Online {
		t.Errorf("after the choice has ended: %+v", published)
	}
}

func TestForeignValuesUnderPresenceKeys(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		ctx := t.Context()
		for i, suffix := range []string{"cc:presence:u", "presence:u", "user:status:u", "cc:presence-due", "user:online:"} {
			for kind, put := range map[string]func(key string) error{
				"string": func(key string) error { return client.Set(ctx, key, "x", 0).Err() },
				"list":   func(key string) error { return client.RPush(ctx, key, "x").Err() },
				"hash":   func(key string) error { return client.HSet(ctx, key, "x", "y").Err() },
				"zset":   func(key string) error { return client.ZAdd(ctx, key, goredis.Z{Member: "x"}).Err() },
				"set":    func(key string) error { return client.SAdd(ctx, key, "x").Err() },
			} {
				if kind == []string{"hash", "string", "string", "zset", "set"}[i] {
					continue
				}
				keys := rig.NewKeys(t, 1)
				p := rig.NewPresence(t, client, keys)
				if err := put(keys.Prefix() + suffix); err != nil {
					t.Fatal(err)
				}
				_, beat := p.Heartbeat(ctx, "u", rig.Phone, ports.Meta{})
				_, leave := p.Leave(ctx, "u", rig.Phone, ports.Meta{})
				_, choice := p.SetStatus(ctx, "u", domain.Away, ports.Meta{})
				for what, err := range map[string]error{"a heartbeat": beat, "a leave": leave, "a choice": choice} {
					var foreign *ports.ForeignValueError
					if !errors.As(err, &foreign) || foreign.Key != keys.Prefix()+suffix || !errors.Is(err, ports.ErrForeignValue) {
						t.Errorf("%s with a %s at %s: %v", what, kind, suffix, err)
					}
				}
				if all := client.Keys(ctx, keys.Prefix()+"*").Val(); len(all) != 1 {
					t.Errorf("with a %s at %s there are %v", kind, suffix, all)
				}
			}
		}
	})
}

// TestForeignValuesHoldUpNobodyElse sweeps keys with values of other programs.
func TestForeignValuesHoldUpNobodyElse(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	e, keys, ctx := newEar(t, client), rig.NewKeys(t, 1), t.Context()
	s := agedStore(ctx, t, client, keys, e)
	due := keys.Prefix() + "cc:presence-due"
	for i := range 5 {
		beats(t, s, domain.UserID(fmt.Sprintf("broken%d", i)), "phone")
	}
	s.Forward(10 * time.Second)
	beats(t, s, "ann", "phone")
	for i := range 5 {
		client.Del(ctx, fmt.Sprintf("%spresence:broken%d", keys.Prefix(), i))
		client.RPush(ctx, fmt.Sprintf("%spresence:broken%d", keys.Prefix(), i), "x")
	}
	client.ZAdd(ctx, due, goredis.Z{Member: "no id"}, goredis.Z{Member: ""}, goredis.Z{Member: strings.Repeat("x", 200)}, goredis.Z{Member: "stranger"})
	s.Forward(100 * time.Second)
	var published []domain.UserStatus
	foreign := 0
	for range 5 {
		some, _, err := s.Expire(ctx, 3)
		if published = append(published, some...); errors.Is(err, ports.ErrForeignValue) {
			foreign++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if len(published) != 2 || published[0].User != "stranger" || published[1].User != "ann" || foreign == 0 {
		t.Errorf("told %+v, %d foreign values", published, foreign)
	}
	if left := client.ZRange(ctx, due, 0, -1).Val(); len(left) != 5 {
		t.Errorf("due: %v", left)
	}
	p := "presence:broken0"
	client.Del(ctx, keys.Prefix()+p)
	s.Forward(100 * time.Second)
	if published, _, err := s.Expire(ctx, 10); len(published) != 1 || !errors.Is(err, ports.ErrForeignValue) {
		t.Errorf("once it has gone: told %+v, error %v", published, err)
	}
}

// TestOthersInTheOnlineSet has other programs add and remove members of the set.
func TestOthersInTheOnlineSet(t *testing.T) {
	for _, cluster := range []bool{false, true} { // a single server accepts the keys of a Cluster too
		client := rig.Connect(t, redistest.Shared(t).URL())
		keys, ctx := anyKeys(t, cluster), t.Context()
		p, online := rig.NewPresence(t, client, keys), keys.Prefix()+"user:online:"
		beats(t, p, "ann", "phone")
		client.SAdd(ctx, online, "theirs", "no id")
		client.SRem(ctx, online, "ann")
		for range 2 * keyspace.DefaultPartitions {
			if cluster {
				if _, err := p.Repair(ctx, 10); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !cluster { // a heartbeat of another device reads the whole record
			beats(t, p, "ann", "laptop")
			if _, err := p.Repair(ctx, 10); err != nil {
				t.Fatal(err)
			}
		}
		got := client.SMembers(ctx, online).Val()
		slices.Sort(got)
		if !slices.Equal(got, []string{"ann", "no id", "theirs"}) {
			t.Errorf("cluster %v: online %v", cluster, got)
		}
		for user, err := range p.Online(ctx) {
			if err != nil || user != "ann" && user != "theirs" {
				t.Errorf("listed %q, error %v", user, err)
			}
		}
	}
}

// TestRepairAfterACrashBetweenTheSteps is for a Cluster, where the set of online users has another slot.
func TestRepairAfterACrashBetweenTheSteps(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys, ctx := anyKeys(t, true), t.Context()
	p := rig.NewPresence(t, client, keys)
	online, added := keys.Prefix()+"user:online:", keys.Prefix()+"cc:{"+keys.Prefix()+"user:online:}:added"
	for i := range 50 {
		beats(t, p, domain.UserID(fmt.Sprintf("user%d", i)), "phone")
	}
	for i := range 25 { // published, and then the process ended
		client.SRem(ctx, online, fmt.Sprintf("user%d", i))
		client.SRem(ctx, added, fmt.Sprintf("user%d", i))
		client.SAdd(ctx, online, fmt.Sprintf("gone%d", i))
		client.SAdd(ctx, added, fmt.Sprintf("gone%d", i))
	}
	for range 2 * keyspace.DefaultPartitions {
		if published, err := p.Repair(ctx, 10); err != nil || len(published) > 0 {
			t.Fatalf("told %v, error %v", published, err)
		}
	}
	for _, set := range []string{online, added} {
		for _, member := range client.SMembers(ctx, set).Val() {
			if !strings.HasPrefix(member, "user") {
				t.Errorf("%s has %s", set, member)
			}
		}
		if n := client.SCard(ctx, set).Val(); n != 50 {
			t.Errorf("%s has %d members", set, n)
		}
	}
}

// TestStatusesOfOtherPrograms reads statuses that the TypeScript services may have stored.
func TestStatusesOfOtherPrograms(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	for _, cluster := range []bool{false, true} {
		keys, ctx, reader := anyKeys(t, cluster), t.Context(), metric.NewManualReader()
		p, err := presence.New(presence.Config{
			Client: client, Keys: keys.Presence(), Codec: wireformat.New(), IDs: rig.RandomIDs{}, TTL: porttest.PresenceTTL(),
			Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"),
		})
		if err != nil {
			t.Fatal(err)
		}
		beats(t, p, "u0", "phone") // reveals the keys of statuses
		at := strings.TrimSuffix(client.Keys(ctx, keys.Prefix()+"user:status:*u0").Val()[0], "u0")
		if cluster {
			at = "" // the tag differs between users
		}
		seen := time.Date(2024, 1, 2, 3, 4, 5, 6e6, time.UTC)
		unreadable := int64(0)
		for value, want := range map[string]domain.UserStatus{
			`{"status":"away","lastSeen":"2024-01-02T03:04:05.006Z"}`: {Status: domain.Away, LastSeen: seen},
			`{"status":"busy","lastSeen":1704164645006,"x":[1]}`:      {Status: domain.Busy, LastSeen: seen},
			`{"status":"online"}`:                  {Status: domain.Online},
			`{"status":"online","lastSeen":{}}`:    {Status: domain.Online},
			`{"status":"online","lastSeen":1e300}`: {Status: domain.Online},
			`"online"`:                             {},
			`{"status":"asleep"}`:                  {},
			`{"status":7}`:                         {},
			`online`:                               {},
			``:                                     {},
		} {
			if at == "" {
				continue
			}
			want.User = "u1"
			client.Set(ctx, at+"u1", value, time.Minute)
			if got, err := p.Statuses(ctx, "u1"); err != nil || got[0] != want {
				t.Errorf("%s is read as %+v, error %v", value, got, err)
			}
			if want.Status == domain.Offline {
				unreadable++
			}
		}
		if cluster {
			key := client.Keys(ctx, keys.Prefix()+"user:status:*u0").Val()[0]
			client.Del(ctx, key)
			client.RPush(ctx, key, "x")
			if got := statusOf(t, p, "u0"); got != domain.Offline {
				t.Errorf("a list is read as %d", got)
			}
			unreadable++
		}
		if got := total(t, reader, "chatcore.statuses.unreadable"); got != unreadable {
			t.Errorf("%d unreadable ones were counted, want %d", got, unreadable)
		}
	}
}

func total(t *testing.T, reader metric.Reader, name string) (n int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, point := range sum.DataPoints {
					n += point.Value
				}
			}
		}
	}
	return n
}

// TestPresenceWithoutRedis stops, freezes and flushes Redis.
func TestPresenceWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := rig.Connect(t, server.URL()), t.Context()
	p := rig.NewPresence(t, client, rig.PlainKeys(t))
	if published := beats(t, p, "ann", "phone"); published == nil {
		t.Fatal("nothing was told")
	}
	all := func(ctx context.Context) map[string]error {
		_, beat := p.Heartbeat(ctx, "ann", rig.Phone, ports.Meta{})
		_, of := p.Statuses(ctx, "ann")
		_, online := p.AreOnline(ctx, "ann")
		_, lead := p.AcquireLease(ctx, time.Second)
		_, _, expire := p.Expire(ctx, 10)
		_, repair := p.Repair(ctx, 10)
		return map[string]error{"beat": beat, "of": of, "online": online, "lead": lead, "expire": expire, "repair": repair}
	}
	server.Freeze()
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	for what, err := range all(brief) {
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s while frozen: %v", what, err)
		}
	}
	cancel()
	server.Thaw()
	server.Stop()
	for what, err := range all(ctx) {
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s while stopped: %v", what, err)
		}
	}
	server.Restart(t) // without its data
	if published := beats(t, p, "ann", "phone"); published == nil || published.Status != domain.Online || statusOf(t, p, "ann") != domain.Online {
		t.Errorf("after a restart: told %+v", published)
	}
	if err := client.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if published := beats(t, p, "ann", "phone"); published == nil || published.Status != domain.Online || statusOf(t, p, "ann") != domain.Online {
		t.Errorf("after a flush: told %+v", published)
	}
	if err := client.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	for what, err := range all(ctx) {
		if err != nil {
			t.Errorf("%s without scripts: %v", what, err)
		}
	}
	if err := client.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	client.ZAdd(ctx, "cc:presence-due", goredis.Z{Member: "ann"}, goredis.Z{Member: "ben"})
	if published, _, err := p.Expire(ctx, 10); err != nil || len(published) != 1 || published[0].User != "ben" {
		t.Errorf("a sweep without scripts told %+v, error %v", published, err)
	}
}

// TestALostRecordIsToldAsGone has another program delete the record of an online user, and the whole due index with another user in it.
func TestALostRecordIsToldAsGone(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys, ctx := rig.NewKeys(t, 1), t.Context()
	s := agedStore(ctx, t, client, keys, newEar(t, client))
	beats(t, s, "ann", "phone")
	client.Del(ctx, keys.Prefix()+"cc:presence:ann")
	s.Forward(100 * time.Second)
	if published, _, err := s.Expire(ctx, 10); err != nil || len(published) != 1 || published[0].Status != domain.Offline || statusOf(t, s, "ann") != domain.Offline {
		t.Errorf("told %+v, error %v", published, err)
	}
	beats(t, s, "ben", "phone")
	client.Del(ctx, keys.Prefix()+"cc:presence-due")
	s.Forward(100 * time.Second)
	if published, err := s.Repair(ctx, 10); err != nil || len(published) != 1 || published[0].User != "ben" || statusOf(t, s, "ben") != domain.Offline {
		t.Errorf("a repair told %+v, error %v", published, err)
	}
}

// until waits until holds returns true.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(wait.Limit); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come to hold")
		}
	}
}

// TestPresenceWhileAMasterFails loses a master of a Cluster for good.
func TestPresenceWhileAMasterFails(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	client, keys := rig.Connect(t, cluster.URL()), rig.ClusterKeys(t)
	s := agedStore(t.Context(), t, client, keys, newEar(t, client))
	users := make([]domain.UserID, 30)
	for i := range users {
		users[i] = domain.UserID(fmt.Sprintf("user%d", i))
		beats(t, s, users[i], "phone")
	}
	cluster.Settle(t)
	killed := cluster.Master(t, 1)
	killed.Kill()
	failed := 0
	for _, user := range users {
		if _, err := s.Heartbeat(t.Context(), user, rig.Phone, ports.Meta{}); errors.Is(err, ports.ErrUnavailable) {
			failed++
		} else if err != nil {
			t.Errorf("a heartbeat: %v", err)
		}
	}
	if failed == 0 || failed == len(users) {
		t.Errorf("%d heartbeats failed", failed)
	}
	if _, _, err := s.Expire(t.Context(), 100); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("a sweep: %v", err)
	}
	cluster.AwaitPromotion(t, 1, killed)
	for _, user := range users {
		until(t, func() bool {
			_, err := s.Heartbeat(t.Context(), user, rig.Phone, ports.Meta{})
			return err == nil
		})
	}
	for range 3 * keyspace.DefaultPartitions {
		if _, err := s.Repair(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
	}
	online, err := s.AreOnline(t.Context(), users...)
	if err != nil || slices.Contains(online, false) {
		t.Errorf("online %v, error %v", online, err)
	}
	s.Forward(100 * time.Second)
	published := 0
	for more := true; more; {
		var some []domain.UserStatus
		if some, more, err = s.Expire(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		published += len(some)
	}
	if online, err := s.AreOnline(t.Context(), users...); err != nil || slices.Contains(online, true) || published != len(users) {
		t.Errorf("told %d, online %v, error %v", published, online, err)
	}
}
