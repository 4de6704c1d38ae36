package eventlog_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// restore writes the keys of a dump to a server.
func restore(t *testing.T, client goredis.UniversalClient, all map[string]string) {
	t.Helper()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for key, value := range all {
		if err := client.Restore(t.Context(), key, 0, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignValuesWhereOurKeysWouldBe records which keys an append creates. It then repeats the append with a value of another type under each key.
func TestForeignValuesWhereOurKeysWouldBe(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	full := ports.Append{Chat: "full"}
	for i := range 1024 { // a whole segment
		full.Events = append(full.Events, rig.Sent("full", domain.MessageID(fmt.Sprint("m", i))).Events...)
	}
	rig.Appended(t, log, full)
	rig.Appended(t, log, rig.Created("c"))
	rig.Appended(t, log, rig.Sent("c", "m"))
	before := rig.Dump(t, client)
	for name, a := range map[string]ports.Append{
		"a new chat": rig.Created("new"), "a new segment": rig.Sent("full", "next"), "a deletion": rig.Deleted("c", "m"), "a first member": added("full", "bob"),
	} {
		restore(t, client, before)
		rig.Appended(t, log, a)
		made := 0
		for key := range rig.Dump(t, client) {
			if _, there := before[key]; there {
				continue
			}
			made++
			restore(t, client, before)
			if err := client.Set(t.Context(), key, "foreign", 0).Err(); err != nil {
				t.Fatal(err)
			}
			planted := rig.Dump(t, client)
			if _, err := log.Append(t.Context(), a); !errors.Is(err, ports.ErrCorrupt) {
				t.Errorf("%s with a foreign %s: %v", name, key, err)
			}
			if !maps.Equal(planted, rig.Dump(t, client)) {
				t.Errorf("%s with a foreign %s: something was written", name, key)
			}
		}
		if made == 0 {
			t.Errorf("%s makes no key", name)
		}
	}
	restore(t, client, before)
	// The set of chats already exists for all but the first one.
	for key := range before {
		if strings.HasSuffix(key, ":chats") {
			if err := client.Set(t.Context(), key, "foreign", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	planted := rig.Dump(t, client)
	if _, err := log.Append(t.Context(), rig.Created("new")); !errors.Is(err, ports.ErrCorrupt) || !maps.Equal(planted, rig.Dump(t, client)) {
		t.Errorf("a new chat with a foreign set of chats: %v", err)
	}
}

func added(c domain.ChatID, user domain.UserID) ports.Append {
	e := domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.MemberAdded, User: user, Role: domain.RoleMember, At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: "a-" + domain.EventID(user), Event: e, Moves: domain.Moves(e)}}}
}

// TestAFullMemoryAtEveryPoint lowers the memory limit step by step, from enough for everything to enough for nothing, and appends a batch at each
// step.
func TestAFullMemoryAtEveryPoint(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 2))
	rig.Appended(t, log, rig.Created("c"))
	used, err := client.InfoMap(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	var base int
	if _, err := fmt.Sscan(used["Memory"]["used_memory"], &base); err != nil {
		t.Fatal(err)
	}
	refused, taken := 0, 0
	for i := range 200 {
		limit := base - 20_000 + i*4_000
		if err := client.ConfigSet(t.Context(), "maxmemory", fmt.Sprint(limit)).Err(); err != nil {
			t.Fatal(err)
		}
		batch := []ports.Append{
			rig.Sent("c", domain.MessageID(fmt.Sprint("a", i))), rig.Created(domain.ChatID(fmt.Sprint("c", i))), rig.Sent("c", domain.MessageID(fmt.Sprint("b", i))),
		}
		before := heads(t, log, "c", batch[1].Chat)
		outcomes, err := log.AppendBatch(t.Context(), batch)
		after := heads(t, log, "c", batch[1].Chat)
		switch {
		case errors.Is(err, ports.ErrUnavailable):
			refused++
			if before != after {
				t.Fatalf("refused at %d bytes, and the heads went from %v to %v", limit, before, after)
			}
		case err != nil || outcomes[0].Err != nil || outcomes[1].Err != nil || outcomes[2].Err != nil:
			t.Fatalf("at %d bytes: %v, %v", limit, outcomes, err)
		default:
			taken++
			if after[0] != before[0]+2 || after[1] != before[1]+1 {
				t.Fatalf("taken at %d bytes, and the heads went from %v to %v", limit, before, after)
			}
		}
	}
	if refused == 0 || taken == 0 {
		t.Errorf("%d batches were refused and %d taken", refused, taken)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	rig.Appended(t, log, rig.Sent("c", "last"))
}

// heads returns the last seqs of chats whose logs are complete up to there.
func heads(t *testing.T, log ports.EventLog, chats ...domain.ChatID) (heads [2]domain.Seq) {
	t.Helper()
	for i, c := range chats {
		seq := domain.Seq(0)
		for {
			page, err := log.Read(t.Context(), c, ports.Range{From: seq + 1, Limit: ports.MaxPage})
			if err != nil {
				t.Fatal(err)
			}
			seq += domain.Seq(len(page.Records))
			if len(page.Records) < ports.MaxPage {
				if heads[i] = page.Head; seq != page.Head {
					t.Fatalf("chat %q has %d events and the head %d", c, seq, page.Head)
				}
				break
			}
		}
	}
	return heads
}
