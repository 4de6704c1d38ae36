package eventlog_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// awaitError appends messages until an append returns the error want, nil for success, and returns the error's text.
func awaitError(t *testing.T, log *eventlog.Log, want error) string {
	t.Helper()
	deadline := time.Now().Add(wait.Limit)
	for i := 0; ; i++ {
		_, err := log.Append(t.Context(), rig.Sent("c", domain.MessageID(fmt.Sprint("m", time.Now().UnixNano(), i))))
		if want == nil && err == nil || want != nil && errors.Is(err, want) {
			return fmt.Sprint(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("appends give %v, want %v", err, want)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func configure(t *testing.T, client goredis.UniversalClient, settings ...string) {
	t.Helper()
	for i := 0; i < len(settings); i += 2 {
		if err := client.ConfigSet(t.Context(), settings[i], settings[i+1]).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// used returns the server's memory that counts toward its limit.
func used(t *testing.T, client goredis.UniversalClient) (bytes int64) {
	t.Helper()
	info, err := client.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "\r\nused_memory:")
	number, _, _ := strings.Cut("\r\n"+after, "\r\nused")
	bytes, err = strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestServerMonitor_Eviction switches eviction on and off while a log is open.
func TestServerMonitor_Eviction(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	log.Watch(t.Context())
	t.Cleanup(log.Close)
	rig.Appended(t, log, rig.Created("c"))

	configure(t, client, "maxmemory-policy", "volatile-lru")
	awaitError(t, log, nil)
	configure(t, client, "maxmemory-policy", "allkeys-lru")
	if text := awaitError(t, log, health.ErrEvicting); !strings.Contains(text, "allkeys-lru") || strings.Contains(text, "have been evicted") {
		t.Errorf("before anything is lost: %s", text)
	}
	if _, err := log.AppendBatch(t.Context(), []ports.Append{rig.Sent("c", "batch")}); !errors.Is(err, health.ErrEvicting) {
		t.Errorf("a batch: %v", err)
	}
	if err := log.Probe(t.Context()); !errors.Is(err, health.ErrEvicting) {
		t.Errorf("probe: %v", err)
	}

	configure(t, client, "maxmemory", strconv.FormatInt(used(t, client)+1<<20, 10))
	for i := range 40 { // of 100 kB each
		if err := client.Set(t.Context(), fmt.Sprint("filler", i), strings.Repeat("x", 100_000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Probe(t.Context()); !errors.Is(err, health.ErrEvicting) || !strings.Contains(err.Error(), "have been evicted") || !strings.Contains(err.Error(), "core fsck") {
		t.Errorf("after a loss: %v", err)
	}
}

// TestServerMonitor_EvictionEnds checks that appends work again by themselves, and that readiness follows at once.
func TestServerMonitor_EvictionEnds(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t, "--maxmemory-policy", "allkeys-lfu").URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	log.Watch(t.Context())
	t.Cleanup(log.Close)
	awaitError(t, log, health.ErrEvicting)
	configure(t, client, "maxmemory-policy", "noeviction")
	awaitError(t, log, nil)
	configure(t, client, "maxmemory-policy", "allkeys-lfu")
	if err := log.Probe(t.Context()); !errors.Is(err, health.ErrEvicting) {
		t.Errorf("probe: %v", err)
	}
	if _, err := log.Append(t.Context(), rig.Sent("c", "after the probe")); !errors.Is(err, health.ErrEvicting) {
		t.Errorf("after the probe: %v", err)
	}
	configure(t, client, "maxmemory-policy", "noeviction")
	if err := log.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
}

// TestServerMonitor_MemoryLimit moves the memory usage of a server around its limit.
func TestServerMonitor_MemoryLimit(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("c"))
	const piece = 256 << 10
	limit := used(t, client) + 100*piece
	configure(t, client, "maxmemory", strconv.FormatInt(limit, 10))
	share := func() float64 { return float64(used(t, client)) / float64(limit) }
	pieces := 0
	fill := func() bool { // with a small command, which Redis refuses only above the limit
		err := client.SetRange(t.Context(), fmt.Sprint("filler", pieces), piece-1, "x").Err()
		if err == nil {
			pieces++
		}
		return err == nil
	}
	remove := func() {
		pieces--
		if err := client.Del(t.Context(), fmt.Sprint("filler", pieces)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	ready := func(want bool, when string) {
		t.Helper()
		switch err := log.Probe(t.Context()); {
		case want && err != nil:
			t.Fatalf("%s, at %.3f of the limit: %v", when, share(), err)
		case !want && (!errors.Is(err, rediscmd.ErrFull) || !errors.Is(err, ports.ErrUnavailable)):
			t.Fatalf("%s, at %.3f of the limit: %v", when, share(), err)
		}
	}
	for share() < 0.97 && fill() {
	}
	ready(true, "filling")
	for range 3 {
		for fill() {
		}
		ready(false, "at the limit")
		if _, err := log.Append(t.Context(), rig.Sent("c", "full")); !errors.Is(err, rediscmd.ErrFull) || !errors.Is(err, ports.ErrUnavailable) {
			t.Fatalf("an append at the limit: %v", err)
		}
		for share() > 0.97 {
			remove()
			ready(false, "hovering below the limit")
		}
	}
	rig.Appended(t, log, rig.Sent("c", "with some room")) // appends do not depend on readiness
	for share() > 0.93 {
		remove()
	}
	ready(true, "with room again")
	for share() < 0.98 && fill() {
	}
	ready(true, "filling again")
}
