package eventlog_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

func TestASettingThatDiffersFromTheLogsIsRefused(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	keys := func(partitions int) keyspace.Keys {
		k, err := keyspace.New("", partitions, false)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := rig.Open(t, client, keys(4))
	if again := rig.Open(t, client, keys(4)); again.ID() != first.ID() {
		t.Errorf("opened again the log is %s, was %s", again.ID(), first.ID())
	}
	_, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys(8)})
	var differs *ports.LogDiffersError
	if !errors.Is(err, ports.ErrLogDiffers) || !errors.As(err, &differs) || differs.Stored != "4" || differs.Configured != "8" {
		t.Errorf("another number of partitions: %v", err)
	}
}

func TestALogThatVanishedTakesNothing(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 4))
	rig.Appended(t, log, rig.Created("c"))
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), rig.Sent("c", "m")); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("append: %v", err)
	}
	if _, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.ChatEntity()}); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("load: %v", err)
	}
	if left := rig.Dump(t, client); len(left) != 0 {
		t.Errorf("written after the loss: %v", left)
	}
}

func TestARedisThatEvictsTakesNoEvents(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	for policy, refused := range map[string]bool{"noeviction": false, "volatile-lru": false, "allkeys-lru": true, "allkeys-random": true} {
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: rig.NewKeys(t, 1)})
		if err == nil {
			_, err = log.Append(t.Context(), rig.Created("c"))
		}
		if errors.Is(err, health.ErrEvicting) != refused || !refused && err != nil {
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
	client := rig.Connect(t, server.URL())
	keys := rig.NewKeys(t, 2)
	log := rig.Open(t, client, keys)
	rig.Appended(t, log, rig.Created("c"))
	rig.Appended(t, log, rig.Sent("c", "m"))
	rig.Appended(t, log, rig.Sent("c", "m2"))
	rig.Appended(t, log, rig.Deleted("c", "m2"))
	var ours []string
	for key, kind := range rig.Kinds(t, client) {
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
		before := rig.Dump(t, client)
		_, err := log.Append(t.Context(), rig.Deleted("c", "m"))
		if strings.HasSuffix(key, ":chats") || strings.HasSuffix(key, ":u") {
			// A deletion writes to neither key: it may succeed.
			if err != nil && !errors.Is(err, ports.ErrCorrupt) {
				t.Errorf("%s: %v", key, err)
			}
		} else if !errors.Is(err, ports.ErrCorrupt) {
			t.Errorf("%s: %v", key, err)
		}
		if after := rig.Dump(t, client); err != nil && !maps.Equal(before, after) {
			t.Errorf("%s: something was written", key)
		}
		if err := client.RestoreReplace(t.Context(), key, 0, value).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), rig.Created(domain.ChatID("other-"+key))); err != nil && !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("another chat after %s: %v", key, err)
		}
	}
}

func TestAnEntryThatIsNoEventIsNamed(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("c"))
	rig.Appended(t, log, rig.Sent("c", "m"))
	rig.Appended(t, log, rig.Created("other"))
	for key, kind := range rig.Kinds(t, client) {
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
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("c"))
	before := rig.Dump(t, client)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), rig.Sent("c", "m")); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("append to a full memory: %v", err)
	}
	if !maps.Equal(before, rig.Dump(t, client)) {
		t.Error("something was written")
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	rig.Appended(t, log, rig.Sent("c", "m"))
}

func TestTheLogComesBackWithRedis(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client := rig.Connect(t, server.URL())
	log := rig.Open(t, client, rig.NewKeys(t, 4))
	rig.Appended(t, log, rig.Created("c"))
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	rig.Appended(t, log, rig.Sent("c", "m1"))
	server.Kill()
	if _, err := log.Append(t.Context(), rig.Sent("c", "m2")); !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrOutcomeUnknown) {
		t.Errorf("without Redis: %v", err)
	}
	server.Restart(t)
	rig.Appended(t, log, rig.Sent("c", "m3"))
	page, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10})
	if err != nil || len(page.Records) != 3 {
		t.Errorf("%d events after the restart, error %v", len(page.Records), err)
	}
}
