package typing_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/typing"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestTypingMarks_Cluster(t *testing.T) {
	client := rig.Connect(t, redistest.StartCluster(t, 3).URL())
	porttest.Typing(t, func(t *testing.T) (ports.TypingMarks, porttest.Log, func(time.Duration)) {
		keys := rig.ClusterKeys(t)
		return typing.New(client, keys.Typing(), domain.TypingTTL), rig.Open(t, client, keys), rig.Forward(t, client, keys)
	})
}

// TestTypingMarksBesideForeignValues puts other values under the keys of a chat's list of marks and of a mark. An append succeeds.
func TestTypingMarksBesideForeignValues(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	keys := rig.PlainKeys(t)
	log, marks := rig.Open(t, client, keys), typing.New(client, keys.Typing(), domain.TypingTTL)
	rig.Appended(t, log, rig.Created("c"))
	start := domain.TypingStart{Chat: "c", User: "ada", At: time.Now(), ExpiresAt: time.Now().Add(domain.TypingTTL)}
	began := func(want bool) {
		t.Helper()
		if set, err := marks.Start(t.Context(), start); err != nil || set != want {
			t.Fatalf("start gave %v, error %v", set, err)
		}
	}
	began(true)
	list := ""
	for key, kind := range rig.Kinds(t, client) {
		if kind == "zset" && strings.HasSuffix(key, ":c:t") {
			list = key
		}
	}
	for key, kind := range map[string]string{list: "zset", "typing:c:ada": "string"} {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > domain.TypingTTL || rig.Kinds(t, client)[key] != kind {
			t.Errorf("%q is a %s and lives for %v", key, rig.Kinds(t, client)[key], ttl)
		}
	}
	client.Del(t.Context(), list)
	client.Set(t.Context(), list, "foreign", 0)
	send := rig.Sent("c", "m")
	send.EndsTyping = "ada"
	got, err := log.Append(t.Context(), send)
	if err != nil || !got.EndedTyping || client.Exists(t.Context(), "typing:c:ada").Val() != 0 || client.Get(t.Context(), list).Val() != "foreign" {
		t.Errorf("a send beside a foreign list gave %+v, error %v", got, err)
	}
	before := rig.Dump(t, client)
	if set, err := marks.Start(t.Context(), start); set || !errors.Is(err, ports.ErrForeignValue) || !maps.Equal(before, rig.Dump(t, client)) {
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

func TestTypingMarks(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Typing(t, func(t *testing.T) (ports.TypingMarks, porttest.Log, func(time.Duration)) {
			keys := rig.NewKeys(t, keyspace.DefaultPartitions)
			return typing.New(client, keys.Typing(), domain.TypingTTL), rig.Open(t, client, keys), rig.Forward(t, client, keys)
		})
	})
}

// TestTypingMarks_Lifetimes gives a mark and its list lifetimes that only a clock that was set back leaves behind.
func TestTypingMarks_Lifetimes(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	keys := rig.PlainKeys(t)
	marks := typing.New(client, keys.Typing(), domain.TypingTTL)
	start := domain.TypingStart{Chat: "c", User: "ada", At: time.Now(), ExpiresAt: time.Now().Add(domain.TypingTTL)}
	began := func() {
		t.Helper()
		if set, err := marks.Start(t.Context(), start); err != nil || !set {
			t.Fatalf("start gave %v, error %v", set, err)
		}
	}
	mark, list := keys.Typing().Mark("c", "ada"), keys.Typing().Marks("c")
	const long = time.Hour
	until := func(name string) time.Duration {
		t.Helper()
		return client.PTTL(t.Context(), name).Val()
	}
	scored := func(in time.Duration, member string) {
		t.Helper()
		if err := client.ZAdd(t.Context(), list, goredis.Z{Score: float64(time.Now().Add(in).UnixMilli()), Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
	}

	began()
	client.PExpire(t.Context(), mark, long)
	if began(); until(mark) > domain.TypingTTL {
		t.Errorf("a start over a mark of an hour leaves it for %v", until(mark))
	}

	scored(-time.Minute, "expired")
	client.PExpire(t.Context(), list, long)
	client.Del(t.Context(), mark)
	began()
	if members := client.ZRange(t.Context(), list, 0, -1).Val(); len(members) != 1 || members[0] != mark {
		t.Errorf("after a start the list has %q", members)
	}
	if until(list) <= domain.TypingTTL {
		t.Errorf("a start shortens the list's life to %v", until(list))
	}

	for given, most := range map[time.Duration]time.Duration{long: domain.TypingTTL, 2 * time.Second: 2 * time.Second} {
		client.PExpire(t.Context(), mark, given)
		scored(long, mark)
		if users, err := marks.Of(t.Context(), "c"); err != nil || len(users) != 1 {
			t.Fatalf("typing are %q, error %v", users, err)
		}
		if left := until(mark); left <= 0 || left > most {
			t.Errorf("a mark of %v lives for %v after a look", given, left)
		}
		if score := client.ZScore(t.Context(), list, mark).Val(); score > float64(time.Now().Add(domain.TypingTTL).UnixMilli()) {
			t.Errorf("the list has a mark of %v until %v", given, time.UnixMilli(int64(score)))
		}
	}
}
