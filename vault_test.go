package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// awayVault is a vault that can be away.
type awayVault struct {
	ports.Vault
	away atomic.Bool
}

// Put implements [ports.Vault].
func (v *awayVault) Put(ctx context.Context, name string, body []byte) error {
	if v.away.Load() {
		return ports.ErrVaultFull
	}
	return v.Vault.Put(ctx, name, body)
}

// vaultConfig is that of a core with two partitions, an own namespace and a vault.
func vaultConfig(t *testing.T, v ports.Vault) chatcore.Config {
	var c chatcore.Config
	c.Redis.URL, c.Redis.Namespace, c.Log.Partitions = redistest.Shared(t).URL(), "vault-"+uuid.NewString(), 2
	c.Vault = chatcore.VaultConfig{Store: v, Flush: 100 * time.Millisecond}
	return c
}

// speak creates a chat and sends messages, in batches of the import.
func speak(t *testing.T, core *chatcore.Core, chat domain.ChatID, n int) {
	t.Helper()
	ctx := t.Context()
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil && !errors.Is(err, domain.ErrChatExists) {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: fmt.Sprintf("message %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// vaultEvents returns the JSON of a chat's events by seq, from all objects of the vault.
func vaultEvents(t *testing.T, v ports.Vault, chat domain.ChatID) map[domain.Seq]string {
	t.Helper()
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	events := make(map[domain.Seq]string)
	add := func(seq domain.Seq, json []byte) {
		if other, some := events[seq]; some && other != string(json) {
			t.Errorf("seq %d is %s and %s", seq, other, json)
		}
		events[seq] = string(json)
	}
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := v.Get(t.Context(), o.Name, 0, ports.WholeObject)
		if err != nil {
			t.Fatal(err)
		}
		switch name.Kind {
		case object.KindJournal:
			j, err := codec.DecodeJournal(name, data)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range j.Blocks {
				for _, e := range b.Entries {
					if e.Chat == chat {
						add(e.Seq, e.JSON)
					}
				}
			}
		case object.KindTail:
			part, err := codec.DecodeTail(name, data)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range part.Chats {
				for i, e := range c.Events {
					if c.Chat == chat {
						add(c.Head-domain.Seq(len(c.Events)-1-i), e.JSON)
					}
				}
			}
		case object.KindSegment:
			s, err := codec.DecodeSegment(name, data)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range s.Events {
				if name.Chat == chat {
					add(name.FirstSeq()+domain.Seq(i), e.JSON)
				}
			}
		case object.KindFork:
		case object.KindManifest:
			if m, err := object.DecodeManifest(name, data); err != nil || m.Partitions != 2 || m.Hash != keyspace.HashName {
				t.Errorf("the manifest is %+v, %v", m, err)
			}
		default:
			t.Errorf("%s was not expected", name)
		}
	}
	return events
}

// TestVault_HasTheLog archives a chat that existed before, one whose segments are sealed while it grows, and commands with ids.
func TestVault_HasTheLog(t *testing.T) {
	t.Parallel()
	v := memory.NewVault()
	config := vaultConfig(t, v)
	bare := config
	bare.Vault.Store = nil
	before := opened(t)(chatcore.New(t.Context(), bare))
	speak(t, before, "old", 1100)
	core := opened(t)(chatcore.New(t.Context(), config))
	start(t, core)
	speak(t, core, "new", 1030)
	ids := make([]domain.CommandID, 3)
	for i := range ids {
		ids[i] = domain.CommandID(fmt.Sprintf("command-%d", i))
		if _, err := core.Chats.Rename(t.Context(), domain.Rename{Chat: "new", Actor: "ada", Title: fmt.Sprint("title ", i), Command: ids[i]}); err != nil {
			t.Fatal(err)
		}
	}
	var steps []archive.BackupStep
	if err := core.Vault().Backup(t.Context(), func(step archive.BackupStep, _, _ int) { steps = append(steps, step) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(steps, archive.BackupJournals) || steps[len(steps)-1] != archive.BackupTails {
		t.Errorf("the steps are %v", steps)
	}
	wait.Until(t, "the segments are sealed", func() bool {
		all, err := core.Vault().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sealed := uint64(0)
		for _, s := range all {
			if sealed += s.Sealed; s.Tail.IsZero() || s.FullTail.IsZero() || s.Owner == "" {
				t.Fatalf("after a backup partition %d is %+v", s.Partition, s)
			}
		}
		return sealed == 2
	})
	keys, err := keyspace.New(config.Redis.Namespace, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	for _, chat := range []domain.ChatID{"old", "new"} {
		got := vaultEvents(t, v, chat)
		for seq := domain.Seq(1); ; seq++ {
			pages, _, err := log.ReadRaw(t.Context(), keys.Partition(chat), "", []ports.EventRange{{Chat: chat, From: seq, Limit: 1}})
			if err != nil {
				t.Fatal(err)
			}
			if len(pages[0].Events) == 0 {
				if uint64(len(got)) != uint64(seq-1) {
					t.Errorf("the vault has %d events of %s, the log %d", len(got), chat, seq-1)
				}
				break
			}
			if got[seq] != string(pages[0].Events[0]) {
				t.Fatalf("seq %d of %s is %s, want %s", seq, chat, got[seq], pages[0].Events[0])
			}
		}
	}
	if indexed, journaled := commandsIn(t, v, "new"); len(indexed) != len(ids) || !maps.Equal(indexed, journaled) {
		t.Errorf("the index has the commands %v, and journals %v, want %d", indexed, journaled, len(ids))
	}
}

// commandsIn returns the fingerprints of a chat's commands by their last seqs: those in tails and segments, and those in journals.
func commandsIn(t *testing.T, v ports.Vault, chat domain.ChatID) (found, journaled map[domain.Seq]uint64) {
	t.Helper()
	codec, _ := object.NewCodec()
	found, journaled = make(map[domain.Seq]uint64), make(map[domain.Seq]uint64)
	add := func(index []byte) {
		commands, err := object.DecodeIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commands {
			if c.Fingerprint == 0 {
				t.Errorf("the command of seq %d has no fingerprint", c.Last)
			}
			found[c.Last] = c.Fingerprint
		}
	}
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, _ := object.ParseName(o.Name)
		data, err := v.Get(t.Context(), o.Name, 0, ports.WholeObject)
		if err != nil {
			t.Fatal(err)
		}
		if name.Kind == object.KindTail {
			part, _ := codec.DecodeTail(name, data)
			for _, c := range part.Chats {
				if c.Chat == chat {
					add(c.Index)
				}
			}
		}
		if name.Kind == object.KindSegment && name.Chat == chat {
			s, _ := codec.DecodeSegment(name, data)
			add(s.Index)
		}
		if name.Kind == object.KindJournal {
			j, _ := codec.DecodeJournal(name, data)
			for _, b := range j.Blocks {
				for _, e := range b.Entries {
					if e.Chat == chat && e.Fingerprint != 0 {
						journaled[e.Seq] = e.Fingerprint
					}
				}
			}
		}
	}
	return found, journaled
}

// TestVault_AwayStopsNothing has the vault refuse everything for a while: other groups go on, a finding names it, and then it has what came meanwhile.
func TestVault_AwayStopsNothing(t *testing.T) {
	t.Parallel()
	v := &awayVault{Vault: memory.NewVault()}
	v.away.Store(true)
	core := opened(t)(chatcore.New(t.Context(), vaultConfig(t, v)))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	speak(t, core, "c", 20)
	wait.Until(t, "the failure is reported", func() bool {
		h := core.Health(t.Context())
		return h.Ready && errors.Is(h.VaultErr, ports.ErrVaultFull) &&
			slices.ContainsFunc(h.Findings(), func(f chatcore.Finding) bool { return f.Code == "vault" && f.Severity == chatcore.Warning })
	})
	wait.Until(t, "the built-in group is done", func() bool {
		list, err := core.Groups().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range list {
			for _, p := range g.Partitions {
				if g.Group == chatcore.BuiltinGroup && p.Lag > 0 || p.Letters > 0 {
					return false
				}
			}
		}
		return true
	})
	v.away.Store(false)
	if err := core.Vault().Backup(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := len(vaultEvents(t, v, "c")); n < 21 {
		t.Errorf("the vault has %d events", n)
	}
}

// TestVault_CloseAndReopen checks what the manifest says.
func TestVault_CloseAndReopen(t *testing.T) {
	t.Parallel()
	v := memory.NewVault()
	config := vaultConfig(t, v)
	closed := func() (numbers int, since uint64) {
		for o, err := range v.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			name, _ := object.ParseName(o.Name)
			if name.Kind != object.KindManifest {
				continue
			}
			data, _ := v.Get(t.Context(), o.Name, 0, ports.WholeObject)
			m, err := object.DecodeManifest(name, data)
			if err != nil {
				t.Fatal(err)
			}
			numbers, since = numbers+1, m.Closed
		}
		return numbers, since
	}
	core := opened(t)(chatcore.New(t.Context(), config))
	stop := start(t, core)
	speak(t, core, "c", 5)
	if err := core.Vault().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, since := closed(); n != 2 || since == 0 {
		t.Errorf("%d manifests, the last one closed since %d", n, since)
	}
	speak(t, core, "c", 1)
	wait.Until(t, "an event reopens the log", func() bool { n, since := closed(); return n == 3 && since == 0 })
	if err := core.Vault().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if n, since := closed(); n != 4 || since == 0 {
		t.Errorf("%d manifests, the last one closed since %d", n, since)
	}
	start(t, opened(t)(chatcore.New(t.Context(), config)))
	wait.Until(t, "a process reopens the log", func() bool { n, since := closed(); return n == 5 && since == 0 })
}

// TestVault_WrongConfigurations checks what is refused.
func TestVault_WrongConfigurations(t *testing.T) {
	t.Parallel()
	var c chatcore.Config
	c.Vault.Store = memory.NewVault()
	if _, err := chatcore.NewInMemory(c); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), "Vault.Store") {
		t.Errorf("a core in memory with a vault gives %v", err)
	}
	core := opened(t)(chatcore.New(t.Context(), vaultConfig(t, memory.NewVault())))
	if err := core.Subscribe(chatcore.VaultGroup); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("the group of the archiver gives %v", err)
	}
}

// TestVault_KeepsWhatRedisLost has Redis lose acknowledged events, and go on with others under the same seqs, while the core runs.
func TestVault_KeepsWhatRedisLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	v := memory.NewVault()
	config := vaultConfig(t, v)
	config.Redis.URL = server.URL()
	core := opened(t)(chatcore.New(t.Context(), config))
	start(t, core)
	speak(t, core, "c", 10)
	archived := func() {
		t.Helper()
		wait.Until(t, "the vault has the log", func() bool {
			err := core.Vault().Backup(t.Context(), nil)
			if err != nil && !errors.Is(err, ports.ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	archived()
	if err := server.Client(t).Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	speak(t, core, "c", 5)
	archived()
	server.Kill()
	server.Restart(t)
	wait.Until(t, "a message is sent", func() bool {
		_, err := core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "after the loss"})
		return err == nil
	})
	speak(t, core, "c", 2)
	archived()
	wait.Until(t, "the lost events are found", func() bool { return core.Vault().Stats().Lost > 0 })
	lost := make(map[domain.Seq]string)
	for e, err := range core.Vault().Lost(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		lost[e.Seq] = string(e.JSON)
	}
	page, err := core.Queries.History(t.Context(), "c", domain.Span{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	present := make(map[string]bool)
	for _, m := range page {
		present[string(m.ID)] = true
	}
	if len(lost) != 5 {
		t.Errorf("%d events are lost: %v", len(lost), lost)
	}
	for seq, json := range lost {
		r, err := wireformat.New().Decode([]byte(json))
		if m, ok := r.Event.(domain.MessageNew); err != nil || !ok || r.Seq != seq || present[string(m.Message)] {
			t.Errorf("seq %d is lost as %s, %v", seq, json, err)
		}
	}
}
