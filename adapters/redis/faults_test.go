package redis_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// created returns an append that creates a chat.
func created(c domain.ChatID) ports.Append {
	e := domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Created, Title: "t", At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("e-" + string(c)), Event: e, Moves: domain.Moves(e)}}}
}

// sent returns an append of one message, and deleted one of its deletion.
func sent(c domain.ChatID, m domain.MessageID) ports.Append {
	e := domain.MessageNew{Chat: c, Message: m, Sender: "ada", Content: "hi", At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("e-" + string(m)), Event: e, Moves: domain.Moves(e)}}}
}

func deleted(c domain.ChatID, m domain.MessageID) ports.Append {
	e := domain.MessageDelete{Chat: c, Message: m, By: "ada", At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("d-" + string(m)), Event: e, Moves: domain.Moves(e)}}}
}

func appended(t *testing.T, log *redis.Log, a ports.Append) {
	t.Helper()
	if _, err := log.Append(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// dump returns all keys and values of a server.
func dump(t *testing.T, client goredis.UniversalClient) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, key := range client.Keys(t.Context(), "*").Val() {
		value, err := client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[key] = value
	}
	return all
}

func TestASettingThatDiffersFromTheLogsIsRefused(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	keys := func(partitions int) redis.Keys {
		k, err := redis.NewKeys("", partitions, false)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := open(t, client, keys(4))
	if again := open(t, client, keys(4)); again.ID() != first.ID() {
		t.Errorf("opened again the log is %s, was %s", again.ID(), first.ID())
	}
	_, err := redis.Open(t.Context(), client, wireformat.New(), redis.LogConfig{Keys: keys(8)})
	var differs *redis.LogDiffersError
	if !errors.Is(err, redis.ErrLogDiffers) || !errors.As(err, &differs) || differs.Stored != "4" || differs.Configured != "8" {
		t.Errorf("another number of partitions: %v", err)
	}
}

func TestALogThatVanishedTakesNothing(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	log := open(t, client, newKeys(t, 4))
	appended(t, log, created("c"))
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), sent("c", "m")); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("append: %v", err)
	}
	if _, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.ChatEntity()}); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("load: %v", err)
	}
	if left := dump(t, client); len(left) != 0 {
		t.Errorf("written after the loss: %v", left)
	}
}

func TestARedisThatEvictsTakesNoEvents(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	for policy, refused := range map[string]bool{"noeviction": false, "volatile-lru": false, "allkeys-lru": true, "allkeys-random": true} {
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		log, err := redis.Open(t.Context(), client, wireformat.New(), redis.LogConfig{Keys: newKeys(t, 1)})
		if err == nil {
			_, err = log.Append(t.Context(), created("c"))
		}
		if errors.Is(err, redis.ErrEvicting) != refused || !refused && err != nil {
			t.Errorf("%s: %v", policy, err)
		}
		if refused && !strings.Contains(err.Error(), policy) {
			t.Errorf("%s is not named: %v", policy, err)
		}
	}
}

// TestForeignValuesUnderOurKeysLeaveNothingHalfWritten puts a value of a wrong type under each key of a chat in turn.
func TestForeignValuesUnderOurKeysLeaveNothingHalfWritten(t *testing.T) {
	server := redistest.Start(t)
	client := connect(t, server.URL())
	keys := newKeys(t, 2)
	log := open(t, client, keys)
	appended(t, log, created("c"))
	appended(t, log, sent("c", "m"))
	appended(t, log, sent("c", "m2"))
	appended(t, log, deleted("c", "m2"))
	var ours []string
	for key, kind := range kinds(t, client) {
		if strings.Contains(key, ":c:") || strings.HasSuffix(key, ":chats") || kind == "stream" {
			ours = append(ours, key)
		}
	}
	if len(ours) < 6 {
		t.Fatalf("a chat has only the keys %q", ours)
	}
	for _, key := range ours {
		value := client.Dump(t.Context(), key).Val()
		if err := errors.Join(client.Del(t.Context(), key).Err(), client.Set(t.Context(), key, "planted", 0).Err()); err != nil {
			t.Fatal(err)
		}
		before := dump(t, client)
		_, err := log.Append(t.Context(), deleted("c", "m"))
		if strings.HasSuffix(key, ":chats") || strings.HasSuffix(key, ":u") {
			// A deletion writes to neither key: it may succeed.
			if err != nil && !errors.Is(err, ports.ErrCorrupt) {
				t.Errorf("%s: %v", key, err)
			}
		} else if !errors.Is(err, ports.ErrCorrupt) {
			t.Errorf("%s: %v", key, err)
		}
		if after := dump(t, client); err != nil && !maps.Equal(before, after) {
			t.Errorf("%s: something was written", key)
		}
		if err := client.RestoreReplace(t.Context(), key, 0, value).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), created(domain.ChatID("other-"+key))); err != nil && !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("another chat after %s: %v", key, err)
		}
	}
}

func kinds(t *testing.T, client goredis.UniversalClient) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for key := range dump(t, client) {
		all[key] = client.Type(t.Context(), key).Val()
	}
	return all
}

func TestAnEntryThatIsNoEventIsNamed(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	log := open(t, client, newKeys(t, 1))
	appended(t, log, created("c"))
	appended(t, log, sent("c", "m"))
	appended(t, log, created("other"))
	for key, kind := range kinds(t, client) {
		if kind == "list" && strings.Contains(key, ":c:") {
			if err := client.LSet(t.Context(), key, 1, "c0{broken").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10})
	var corrupt *ports.CorruptError
	if !errors.Is(err, ports.ErrCorrupt) || !errors.As(err, &corrupt) || corrupt.Chat != "c" || corrupt.Seq != 2 {
		t.Errorf("read: %v", err)
	}
	if page, err := log.Read(t.Context(), "other", ports.Range{From: 1, Limit: 10}); err != nil || len(page.Records) != 1 {
		t.Errorf("another chat: %d events, error %v", len(page.Records), err)
	}
}

func TestAFullMemoryLeavesNothingHalfWritten(t *testing.T) {
	client := connect(t, redistest.Start(t).URL())
	log := open(t, client, newKeys(t, 1))
	appended(t, log, created("c"))
	before := dump(t, client)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), sent("c", "m")); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("append to a full memory: %v", err)
	}
	if !maps.Equal(before, dump(t, client)) {
		t.Error("something was written")
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	appended(t, log, sent("c", "m"))
}

func TestTheLogComesBackWithRedis(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client := connect(t, server.URL())
	log := open(t, client, newKeys(t, 4))
	appended(t, log, created("c"))
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	appended(t, log, sent("c", "m1"))
	server.Kill()
	if _, err := log.Append(t.Context(), sent("c", "m2")); !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrOutcomeUnknown) {
		t.Errorf("without Redis: %v", err)
	}
	server.Restart(t)
	appended(t, log, sent("c", "m3"))
	page, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10})
	if err != nil || len(page.Records) != 3 {
		t.Errorf("%d events after the restart, error %v", len(page.Records), err)
	}
}

func TestRedisURLs(t *testing.T) {
	for url, addrs := range map[string]string{
		"redis://localhost:6379":              "localhost:6379",
		"redis://:secret@example.org:7000/2":  "example.org:7000",
		"rediss://user:secret@example.org:1":  "example.org:1",
		"redis://a:1,redis://b:2":             "a:1 b:2",
		"redis://:secret@a:1,b:2,redis://c:3": "a:1 b:2 c:3",
		"redis://[::1]:6379":                  "[::1]:6379",
	} {
		got, err := redis.ParseURL(url)
		if err != nil || strings.Join(got.Addrs, " ") != addrs || got.IsClusterMode != strings.Contains(url, ",") {
			t.Errorf("%s: %+v, error %v", url, got, err)
		}
	}
	for _, url := range []string{
		"", " ", "localhost:6379", "http://localhost", "redis://", "redis://:secret@host:port", "redis://a:1,rediss://:secret@b:2",
		"redis://:secret@a:1,redis://:other@b:2", "redis://:secret@a:1/3,b:2", "redis://:secret@a:1/nodb", "redis://:secret@%zz",
	} {
		_, err := redis.ParseURL(url)
		if !errors.Is(err, redis.ErrURL) {
			t.Errorf("%q: %v", url, err)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "other@") {
			t.Errorf("%q: the password is in %q", url, err)
		}
	}
}

func TestConnectGivesUpWithASentence(t *testing.T) {
	server := redistest.Start(t)
	server.Stop()
	_, err := redis.Connect(t.Context(), redis.Options{URL: server.URL(), Attempts: 3, Backoff: time.Millisecond})
	if !errors.Is(err, redis.ErrUnreachable) || !strings.Contains(err.Error(), "3 attempts") {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := redis.Connect(ctx, redis.Options{URL: server.URL()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
