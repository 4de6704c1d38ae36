package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/session"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// sessionStore simulates the passage of time by moving the stored times and TTLs of a user's sessions.
func sessionStore(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, store *session.Store, record func(domain.UserID, string) string) porttest.SessionStore {
	return porttest.SessionStore{SessionStore: store, Pass: func(user domain.UserID, d time.Duration) {
		ctx, sessions := context.WithoutCancel(t.Context()), keys.Sessions().Index(user)
		earlier := func(key string) {
			if left := client.PTTL(ctx, key).Val(); left > d {
				client.PExpire(ctx, key, left-d)
			} else if left >= 0 {
				client.Del(ctx, key)
			} else if left == -1 {
				t.Errorf("%s never expires", key)
			}
		}
		for id, field := range client.HGetAll(ctx, sessions).Val() {
			parts := strings.Split(field, " ")
			earlier(record(user, parts[0]))
			for i := 2; i < 5; i++ {
				ms, err := strconv.ParseInt(parts[i], 10, 64)
				if err != nil {
					t.Error(err)
				}
				parts[i] = strconv.FormatInt(ms-d.Milliseconds(), 10)
			}
			client.HSet(ctx, sessions, id, strings.Join(parts, " "))
		}
		earlier(sessions)
	}}
}

func hashedSessions(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) porttest.SessionStore {
	return sessionStore(t, client, keys, session.New(client, keys.Sessions(), porttest.SessionPolicy()), func(user domain.UserID, key string) string { return recordKey(keys, user, key) })
}

func TestSessions(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Sessions(t, func(t *testing.T) porttest.SessionStore { return hashedSessions(t, client, rig.NewKeys(t, 1)) })
	})
}

// TestSessionsWhateverTheCallersClock uses wrong callers' clocks. With a clock that is years off, everything works as with a right one. With a clock
// that is minutes off, a used session lives on and an unused one ends.
func TestSessionsWhateverTheCallersClock(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	skewed := func(t *testing.T, by time.Duration) porttest.SessionStore {
		keys := rig.NewKeys(t, 1)
		store := session.New(client, keys.Sessions(), porttest.SessionPolicy())
		store.Skew(by)
		return sessionStore(t, client, keys, store, func(user domain.UserID, key string) string { return recordKey(keys, user, key) })
	}
	const year = 365 * 24 * time.Hour
	for _, by := range []time.Duration{-50 * year, 50 * year} {
		t.Run(by.String(), func(t *testing.T) {
			porttest.Sessions(t, func(t *testing.T) porttest.SessionStore { return skewed(t, by) })
		})
	}
	for _, by := range []time.Duration{-time.Hour, -20 * time.Minute, -3 * time.Minute, 3 * time.Minute, 20 * time.Minute, time.Hour} {
		store := skewed(t, by)
		opensSession(t, store, "ada", "ID", "HASH")
		for n := range 29 {
			store.Pass("ada", 10*time.Minute)
			if _, err := store.Find(t.Context(), "ada", "HASH"); err != nil {
				t.Fatalf("off by %v, use %d: %v", by, n, err)
			}
		}
		store.Pass("ada", 10*time.Minute)
		if _, err := store.Find(t.Context(), "ada", "HASH"); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("off by %v, after its end: %v", by, err)
		}
		opensSession(t, store, "ada", "ID", "HASH")
		store.Pass("ada", time.Hour)
		if _, err := store.Find(t.Context(), "ada", "HASH"); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("off by %v, after its idle time: %v", by, err)
		}
	}
}

func guideSessions(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *session.Store {
	t.Helper()
	store, err := session.NewCompat(client, keys.Sessions(), porttest.SessionPolicy())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestSessionsAsTheGuideKeepsThem(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Sessions(t, func(t *testing.T) porttest.SessionStore {
			keys := rig.NewKeys(t, 1)
			return sessionStore(t, client, keys, guideSessions(t, client, keys), func(_ domain.UserID, token string) string { return keys.Prefix() + "session:" + token })
		})
	})
}

func TestSessionsOfTheGuidesPrograms(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys := rig.NewKeys(t, 1)
		store := guideSessions(t, client, keys)
		for record, want := range map[string]domain.Session{
			`{"userId":"ada"}`: {User: "ada"},
			`{"role":"x","deviceId":"phone","userId":"ada"}`: {User: "ada", Device: domain.Device{ID: "phone"}},
			`{"userId":"ada","deviceId":7,"_cc":null}`:       {User: "ada"},
			`{"userId":"","deviceId":"x"}`:                   {},
			`{"userId":12}`:                                  {},
			`{"userId":"a b"}`:                               {},
			`"ada"`:                                          {},
			`[]`:                                             {},
			`null`:                                           {},
			``:                                               {},
			`{`:                                              {},
			`{"_cc":{"id":"forged"},"userId":"ada"}`:         {}, // no store has opened it
		} {
			key := keys.Prefix() + "session:THEIRS"
			client.Set(t.Context(), key, record, time.Hour)
			found, err := store.Find(t.Context(), " ", "THEIRS")
			if found != want || (err == nil) != (want != domain.Session{}) || err != nil && !errors.Is(err, ports.ErrForeignValue) && !errors.Is(err, domain.ErrNoSession) {
				t.Errorf("%s: found %+v, error %v", record, found, err)
			}
			if _, err := store.Rotate(t.Context(), " ", "THEIRS", "OTHER"); err == nil {
				t.Errorf("%s was rotated", record)
			}
			if got := client.Get(t.Context(), key).Val(); got != record {
				t.Errorf("%s became %s", record, got)
			}
		}
		if _, err := session.NewCompat(client, rig.ClusterKeys(t).Sessions(), porttest.SessionPolicy()); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("on a Cluster: %v", err)
		}
	})
}

func opensSession(t *testing.T, s ports.SessionStore, user domain.UserID, id, key string) domain.Session {
	t.Helper()
	opened, _, err := s.Open(t.Context(), domain.Session{ID: domain.SessionID(id), User: user, Device: domain.Device{ID: "phone", UserAgent: "curl"}}, ports.SessionKey(key))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// TestSessions_ClosedRecordsAreDeleted opens one session more than a user may have: the record of the one that was opened first is deleted.
func TestSessions_ClosedRecordsAreDeleted(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
	store := session.New(client, keys.Sessions(), porttest.SessionPolicy())
	for i := range porttest.SessionPolicy().PerUser + 1 {
		opensSession(t, store, "ada", fmt.Sprint("s", i), fmt.Sprint("KEY", i))
	}
	for i := range porttest.SessionPolicy().PerUser + 1 {
		if there := client.Exists(t.Context(), recordKey(keys, "ada", fmt.Sprint("KEY", i))).Val() == 1; there != (i > 0) {
			t.Errorf("the record of session %d is there: %t", i, there)
		}
	}
}

// TestSessionsAreAsTheWireContractSays reads the keys as other programs do, and closes sessions like the guide.
func TestSessionsAreAsTheWireContractSays(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	store := session.New(client, rig.PlainKeys(t).Sessions(), domain.SessionPolicy{Idle: time.Hour, Lifetime: 24 * time.Hour, PerUser: 3})
	opened := opensSession(t, store, "user-789", "ID", "HASH")
	var record map[string]any
	if err := json.Unmarshal([]byte(client.Get(t.Context(), "session:user-789:HASH").Val()), &record); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"userId": "user-789", "deviceId": "phone", "userAgent": "curl", "createdAt": float64(opened.OpenedAt.UnixMilli()), "expiresAt": float64(opened.EndsAt.UnixMilli()),
	} {
		if record[field] != want {
			t.Errorf("%s is %v, want %v", field, record[field], want)
		}
	}
	for key, want := range map[string]time.Duration{"session:user-789:HASH": time.Hour, "cc:sessions:user-789": 24 * time.Hour} {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl > want || ttl < want-time.Minute {
			t.Errorf("%s lives for %v, want %v", key, ttl, want)
		}
	}
	opensSession(t, store, "user-789", "ID2", "HASH2")
	client.Del(t.Context(), client.Keys(t.Context(), "session:user-789:*").Val()...)
	if list, err := store.List(t.Context(), "user-789"); err != nil || len(list) > 0 {
		t.Errorf("after the guide's delPattern there are %+v, error %v", list, err)
	}
	opensSession(t, store, "user-789", "ID3", "HASH3")
	if _, err := store.CloseAll(t.Context(), "user-789"); err != nil {
		t.Error(err)
	}
	if left := client.Keys(t.Context(), "*").Val(); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

// TestAUseThatIsNotNotedWritesNothing counts Redis's commands.
func TestAUseThatIsNotNotedWritesNothing(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	store := hashedSessions(t, client, rig.PlainKeys(t))
	opensSession(t, store, "ada", "ID", "HASH")
	before := rig.Dump(t, client)
	for range 3 {
		if _, err := store.Find(t.Context(), "ada", "HASH"); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(before, rig.Dump(t, client)) {
		t.Error("something was written")
	}
	client.ConfigResetStat(t.Context())
	if _, err := store.Find(t.Context(), "ada", "HASH"); err != nil {
		t.Fatal(err)
	}
	stats := client.Info(t.Context(), "commandstats").Val()
	if !strings.Contains(stats, "cmdstat_evalsha:calls=1,") || strings.Contains(stats, "expire") || strings.Contains(stats, "hset") {
		t.Errorf("Redis did %s", stats)
	}
}

// TestALostHalfOfASessionIsNoSession deletes one key of two, restores an old record, and flushes all: nothing revives a closed session.
func TestALostHalfOfASessionIsNoSession(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	store := hashedSessions(t, client, rig.PlainKeys(t))
	const record, sessions = "session:ada:HASH", "cc:sessions:ada"
	none := func(when string) {
		t.Helper()
		if found, err := store.Find(t.Context(), "ada", "HASH"); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("%s: found %+v, error %v", when, found, err)
		}
	}
	for when, lose := range map[string]func(){
		"without the record": func() { client.Del(t.Context(), record) },
		"without the hash":   func() { client.Del(t.Context(), sessions) },
		"with another hash": func() {
			client.Del(t.Context(), sessions)
			opensSession(t, store, "ada", "OTHER", "OTHERHASH")
		},
		"after FLUSHALL": func() { client.FlushAll(t.Context()) },
		"closed, and the record put back": func() {
			old := client.Get(t.Context(), record).Val()
			if _, err := store.CloseAll(t.Context(), "ada"); err != nil {
				t.Error(err)
			}
			client.Set(t.Context(), record, old, time.Hour)
			opensSession(t, store, "ada", "OTHER", "OTHERHASH")
		},
		"another's record in its place": func() {
			opensSession(t, store, "ada", "OTHER", "OTHERHASH")
			client.Copy(t.Context(), "session:ada:OTHERHASH", record, 0, true)
		},
		"immortal, and idle": func() {
			client.Persist(t.Context(), record)
			field := strings.Split(client.HGet(t.Context(), sessions, "ID").Val(), " ")
			field[4] = strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10)
			client.HSet(t.Context(), sessions, "ID", strings.Join(field, " "))
		},
	} {
		client.FlushAll(t.Context())
		opensSession(t, store, "ada", "ID", "HASH")
		lose()
		none(when)
		if list, err := store.List(t.Context(), "ada"); err != nil || len(list) > 0 && list[0].ID == "ID" && when != "another's record in its place" {
			t.Errorf("%s: listed %+v, error %v", when, list, err)
		}
	}
}

// TestForeignValuesWhereSessionsWouldBe puts values of every type under each key: a read returns no session or a typed error, and changes nothing.
func TestForeignValuesWhereSessionsWouldBe(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys := rig.NewKeys(t, 1)
		store := session.New(client, keys.Sessions(), porttest.SessionPolicy())
		record, sessions := recordKey(keys, "ada", "HASH"), keys.Sessions().Index("ada")
		ctx := t.Context()
		kinds := map[string]func(key string){
			"set":    func(key string) { client.SAdd(ctx, key, "a") },
			"list":   func(key string) { client.RPush(ctx, key, "a") },
			"zset":   func(key string) { client.ZAdd(ctx, key, goredis.Z{Member: "a"}) },
			"stream": func(key string) { client.XAdd(ctx, &goredis.XAddArgs{Stream: key, Values: []string{"a", "b"}}) },
			"hash":   func(key string) { client.HSet(ctx, key, "ID", "a") },
		}
		for i, text := range []string{"", "a", "{}", `{"_cc":{"id":"ID"}`, `{"_cc":{"id":"ID"}}`, `{"_cc":{"id":"ID"},"userId":"eve"}`, `{"_cc":{"id":"%d+"}}`, "\xff\x00", strings.Repeat("x", 1<<16)} {
			kinds[fmt.Sprint("string ", i)] = func(key string) { client.Set(ctx, key, text, 0) }
		}
		for i, text := range []string{"", "HASH", "HASH 1 2 3 4", "HASH 1 2 3 4 5 6", "HASH 1 2 99999999999999999999999 4 5", "HASH -1 1e9 nan inf 0", " 1 2 3 4 5", "HASH 1 1 9999999999999 9999999999999 99999999999999999999999999"} {
			kinds[fmt.Sprint("hash ", i)] = func(key string) { client.HSet(ctx, key, "ID", text, "", "", "x", text) }
		}
		for kind, put := range kinds {
			for _, key := range []string{record, sessions} {
				client.Del(ctx, record, sessions)
				opensSession(t, store, "ada", "ID", "HASH")
				client.Del(ctx, key)
				put(key)
				found, err := store.Find(ctx, "ada", "HASH")
				if !errors.Is(err, domain.ErrNoSession) && !errors.Is(err, ports.ErrForeignValue) {
					t.Errorf("%s in %s: found %+v, error %v", kind, key, found, err)
				}
				if got := client.Exists(ctx, key).Val(); got != 1 && !strings.HasPrefix(kind, "hash") {
					t.Errorf("%s in %s is gone", kind, key)
				}
				if _, err := store.Rotate(ctx, "ada", "HASH", "NEXT"); !errors.Is(err, domain.ErrNoSession) && !errors.Is(err, ports.ErrForeignValue) {
					t.Errorf("%s in %s: rotate: %v", kind, key, err)
				}
				foreign := key == sessions && !strings.HasPrefix(kind, "hash")
				if list, err := store.List(ctx, "ada"); len(list) > 0 || errors.Is(err, ports.ErrForeignValue) != foreign || !foreign && err != nil {
					t.Errorf("%s in %s: listed %+v, error %v", kind, key, list, err)
				}
				if _, _, err := store.Open(ctx, domain.Session{ID: "NEW", User: "ada"}, "NEWHASH"); errors.Is(err, ports.ErrForeignValue) != foreign || !foreign && err != nil {
					t.Errorf("%s in %s: open: %v", kind, key, err)
				}
				if _, err := store.Close(ctx, "ada", "ID"); !errors.Is(err, domain.ErrNoSession) && !errors.Is(err, ports.ErrForeignValue) {
					t.Errorf("%s in %s: close: %v", kind, key, err)
				}
				if _, err := store.CloseAll(ctx, "ada"); errors.Is(err, ports.ErrForeignValue) != foreign || !foreign && err != nil {
					t.Errorf("%s in %s: close all: %v", kind, key, err)
				}
			}
		}
	})
}

// TestSessionsWithoutRedis stops and freezes the server: calls return an error that says so, never a session and never "no session".
func TestSessionsWithoutRedis(t *testing.T) {
	for how, lose := range map[string]func(*redistest.Server){"killed": (*redistest.Server).Kill, "frozen": (*redistest.Server).Freeze} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL(), Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			store := hashedSessions(t, client, rig.PlainKeys(t))
			opensSession(t, store, "ada", "ID", "HASH")
			lose(server)
			ctx := t.Context()
			_, _, err1 := store.Open(ctx, domain.Session{ID: "x", User: "ada"}, "x")
			_, err2 := store.Find(ctx, "ada", "HASH")
			_, err3 := store.Rotate(ctx, "ada", "HASH", "x")
			_, err4 := store.List(ctx, "ada")
			_, err5 := store.Close(ctx, "ada", "ID")
			_, err6 := store.CloseAll(ctx, "ada")
			for i, err := range []error{err1, err2, err3, err4, err5, err6} {
				if !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, domain.ErrNoSession) {
					t.Errorf("call %d: %v", i+1, err)
				}
			}
		})
	}
}

// TestAFullMemoryOpensAndClosesNothing has Redis refuse to write.
func TestAFullMemoryOpensAndClosesNothing(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	store := hashedSessions(t, client, rig.PlainKeys(t))
	for i := range porttest.SessionPolicy().PerUser {
		opensSession(t, store, "ada", fmt.Sprint("ID", i), fmt.Sprint("HASH", i))
	}
	client.ConfigSet(t.Context(), "maxmemory", "1")
	if _, _, err := store.Open(t.Context(), domain.Session{ID: "x", User: "ada"}, "x"); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("open: %v", err)
	}
	if list, err := store.List(t.Context(), "ada"); err != nil || len(list) != porttest.SessionPolicy().PerUser {
		t.Errorf("listed %+v, error %v", list, err)
	}
}

// TestNoRecordOutlivesItsSession checks the TTL in the last hour, when the session's end is nearer than the idle time.
func TestNoRecordOutlivesItsSession(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys := rig.NewKeys(t, 1)
	store := hashedSessions(t, client, keys)
	opensSession(t, store, "ada", "ID", "HASH")
	for range 6 {
		store.Pass("ada", 48*time.Minute)
		found, err := store.Find(t.Context(), "ada", "HASH")
		if err != nil {
			t.Fatal(err)
		}
		if ttl, left := client.PTTL(t.Context(), recordKey(keys, "ada", "HASH")).Val(), found.ExpiresAt().Sub(found.SeenAt); ttl > left || ttl < left-time.Minute {
			t.Errorf("%v before it expires its record lives for %v", left, ttl)
		}
	}
}

// testSessionsInAMigratingSlot uses sessions while their slot migrates. Calls whose keys have not moved succeed. Calls that need a key that has moved
// or is missing fail until the end of the migration, and change nothing.
func testSessionsInAMigratingSlot(t *testing.T, cluster *redistest.Cluster, client goredis.UniversalClient) {
	ctx, keys := t.Context(), rig.ClusterKeys(t)
	store := session.New(client, keys.Sessions(), porttest.SessionPolicy())
	const user = "moving"
	opensSession(t, store, user, "ID1", "HASH1")
	opensSession(t, store, user, "ID2", "HASH2")
	end := cluster.Migrate(t, keys.Sessions().Index(user))
	if found, err := store.Find(ctx, user, "HASH1"); err != nil || found.ID != "ID1" {
		t.Errorf("found %+v, error %v", found, err)
	}
	if list, err := store.List(ctx, user); err != nil || len(list) != 2 {
		t.Errorf("listed %+v, error %v", list, err)
	}
	for what, do := range map[string]func() error{
		"a secret of nobody's": func() error { _, err := store.Find(ctx, user, "NONE"); return err },
		"another key":          func() error { _, err := store.Rotate(ctx, user, "HASH1", "HASH3"); return err },
		"one more": func() error {
			_, _, err := store.Open(ctx, domain.Session{ID: "ID3", User: user}, "HASH3")
			return err
		},
	} {
		if err := do(); !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if closed, err := store.Close(ctx, user, "ID2"); err != nil || closed.ID != "ID2" {
		t.Errorf("closed %+v, error %v", closed, err)
	}
	end()
	if list, err := store.List(ctx, user); err != nil || len(list) != 1 || list[0].ID != "ID1" {
		t.Errorf("in the end there are %+v, error %v", list, err)
	}
	if rotated, err := store.Rotate(ctx, user, "HASH1", "HASH3"); err != nil || rotated.ID != "ID1" {
		t.Errorf("rotated %+v, error %v", rotated, err)
	}
}

// TestSessionsOfThousandsOfDevices opens sessions in sequence and concurrently: the cap holds, nothing of the closed ones remains, and the cost of
// opening one depends only on the number of live sessions.
func TestSessionsOfThousandsOfDevices(t *testing.T) {
	const most, inARow, atOnce = 32, 2000, 2000
	client := rig.Connect(t, redistest.Start(t).URL())
	store := session.New(client, rig.PlainKeys(t).Sessions(), domain.SessionPolicy{Idle: time.Hour, Lifetime: 24 * time.Hour, PerUser: most})
	var closed atomic.Int64
	open := func(n int) {
		_, gone, err := store.Open(t.Context(), domain.Session{
			ID: domain.SessionID(fmt.Sprint("ID", n)), User: "ada", Device: domain.Device{ID: domain.DeviceID(fmt.Sprint("device-", n))},
		}, ports.SessionKey(fmt.Sprint("HASH", n)))
		if err != nil {
			t.Error(err)
		}
		closed.Add(int64(len(gone)))
	}
	holds := func(opened int) []domain.Session {
		t.Helper()
		list, err := store.List(t.Context(), "ada")
		records, fields := len(client.Keys(t.Context(), "session:*").Val()), client.HLen(t.Context(), "cc:sessions:ada").Val()
		if err != nil || len(list) != most || records != most || fields != most || closed.Load() != int64(opened-most) {
			t.Errorf("after %d: %d sessions, %d records, %d fields, %d closed, error %v", opened, len(list), records, fields, closed.Load(), err)
		}
		return list
	}
	client.ConfigResetStat(t.Context())
	for n := range inARow {
		open(n)
	}
	calls := 0
	for line := range strings.Lines(client.Info(t.Context(), "commandstats").Val()) {
		if _, after, ok := strings.Cut(line, ":calls="); ok {
			number, _, _ := strings.Cut(after, ",")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			calls += n
		}
	}
	if calls > inARow*(most+12) {
		t.Errorf("an opening is %d calls", calls/inARow)
	}
	for i, s := range holds(inARow) {
		if want := domain.SessionID(fmt.Sprint("ID", inARow-most+i)); s.ID != want {
			t.Errorf("session %d is %s, want %s", i, s.ID, want)
		}
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		wg.Go(func() {
			for n := next.Add(1); n <= atOnce; n = next.Add(1) {
				open(inARow + int(n))
			}
		})
	}
	wg.Wait()
	holds(inARow + atOnce)
	if gone, err := store.CloseAll(t.Context(), "ada"); err != nil || len(gone) != most {
		t.Errorf("closed %d, error %v", len(gone), err)
	}
	if left := rig.Dump(t, client); len(left) > 0 {
		t.Errorf("%d keys are left", len(left))
	}
}

func TestSessions_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := rig.Connect(t, cluster.URL())
	porttest.Sessions(t, func(t *testing.T) porttest.SessionStore { return hashedSessions(t, client, rig.ClusterKeys(t)) })
	testSessionsInAMigratingSlot(t, cluster, client)
}

// recordKey returns the key of a session record by the hash of its secret.
func recordKey(keys keyspace.Keys, user domain.UserID, hash string) string {
	return keys.Sessions().RecordPrefix(user) + hash
}

func TestUnderTheLeastRights(t *testing.T) { rig.RunUnderLeastRights(t, "TestSessions") }
