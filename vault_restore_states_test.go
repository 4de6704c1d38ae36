package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/vault/object"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// archivedRun is a log with some chats whose core still runs, and a vault with all of the log.
type archivedRun struct {
	*archivedLog
	core      *chatcore.Core
	client    *goredis.Client
	namespace string
}

// runAndArchive makes a log, and puts it into a vault.
func runAndArchive(t *testing.T, closed uint64, checkpoints func(l *archivedLog) map[string]map[domain.ChatID]domain.Seq) archivedRun {
	t.Helper()
	client, namespace := shared(t), "run-"+uuid.NewString()
	core := opened(t)(chatcore.New(t.Context(), on(t, namespace, 2)))
	for i := range 6 {
		chat := domain.ChatID(fmt.Sprintf("%c", 'a'+i))
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada", Members: []domain.UserID{"ben"}}))
		for n := range 5 {
			must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ada", MessageID: domain.MessageID(fmt.Sprintf("%s%d", chat, n)), Content: "hello"}))
		}
	}
	l := storedLog(t, client, namespace, nil)
	var groups map[string]map[domain.ChatID]domain.Seq
	if checkpoints != nil {
		groups = checkpoints(l)
	}
	l.archive(closed, groups)
	return archivedRun{l, core, client, namespace}
}

// keysOf returns the keys of a namespace.
func keysOf(t *testing.T, client *goredis.Client, namespace string) []string {
	t.Helper()
	keys := must[[]string](t)(client.Keys(t.Context(), namespace+":*").Result())
	slices.Sort(keys)
	return keys
}

// sound checks a log that was restored.
func (r archivedRun) sound(t *testing.T, config chatcore.Config) *chatcore.Core {
	t.Helper()
	core := opened(t)(chatcore.New(t.Context(), config))
	if found := checked(t, core, chatcore.FsckConfig{}); len(found) > 0 {
		t.Errorf("a restored log has %+v", found)
	}
	restored := storedLog(t, r.client, config.Redis.Namespace, nil)
	if !slices.EqualFunc(restored.chats, r.chats, func(a, b *archivedChat) bool {
		return a.id == b.id && slices.EqualFunc(a.events, b.events, func(a, b object.Event) bool { return string(a.JSON) == string(b.JSON) })
	}) {
		t.Error("a restored log has other events")
	}
	return core
}

var errEnough = errors.New("enough")

// TestRestore_UnfinishedLogDoesNotOpen interrupts a restore after each number of chats. Nothing opens what it has left, and another restore replaces all of it.
func TestRestore_UnfinishedLogDoesNotOpen(t *testing.T) {
	run := runAndArchive(t, 0, func(l *archivedLog) map[string]map[domain.ChatID]domain.Seq {
		return map[string]map[domain.ChatID]domain.Seq{"g": {l.chats[0].id: 1}}
	})
	for interrupted := range len(run.chats) {
		namespace := "to-" + uuid.NewString()
		restore := chatcore.RestoreConfig{Vault: run.vault, Progress: func(p chatcore.CopyProgress) error {
			if p.Chats > interrupted {
				return errEnough
			}
			return nil
		}}
		if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), restore); !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		restore.Progress = nil
		for _, partitions := range []int{1, 2, 3} {
			if core, err := chatcore.New(t.Context(), on(t, namespace, partitions)); !errors.Is(err, chatcore.ErrRestoring) {
				t.Errorf("with %d partitions it opens: %v %v", partitions, core, err)
			}
			if _, err := chatcore.FindLog(t.Context(), on(t, namespace, partitions)); !errors.Is(err, chatcore.ErrRestoring) {
				t.Errorf("FindLog: %v", err)
			}
			if _, err := chatcore.Upgrade(t.Context(), on(t, namespace, partitions), chatcore.UpgradeConfig{}); !errors.Is(err, chatcore.ErrRestoring) {
				t.Errorf("Upgrade: %v", err)
			}
			for c, err := range chatcore.FsckIdentity(t.Context(), on(t, namespace, partitions), chatcore.FsckConfig{Repair: true}) {
				if !errors.Is(err, chatcore.ErrRestoring) {
					t.Errorf("FsckIdentity: %v %v", c, err)
				}
			}
			restore.Partitions = partitions
			if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), restore); !errors.Is(err, chatcore.ErrRestoring) {
				t.Errorf("a second restore: %v", err)
			}
		}
		restore.ReplaceUnfinished, restore.Partitions = true, interrupted%3+1
		if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), restore); err != nil {
			t.Fatal(err)
		}
		run.sound(t, on(t, namespace, restore.Partitions))
		tags := make(map[string]bool)
		for _, key := range keysOf(t, run.client, namespace) {
			if _, rest, found := strings.Cut(key, "cc:{"); found {
				tag, _, _ := strings.Cut(rest, "}")
				tags[strings.TrimPrefix(tag, namespace+":")] = true
			}
		}
		if delete(tags, "message-delivery-stream"); len(tags) > restore.Partitions {
			t.Errorf("%d partitions, and keys of %v", restore.Partitions, tags)
		}
	}
}

// TestRestore_Canceled ends the context of a restore. The unfinished log does not open.
func TestRestore_Canceled(t *testing.T) {
	run, namespace := runAndArchive(t, 0, nil), "to-"+uuid.NewString()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := chatcore.Restore(ctx, on(t, namespace, 0), chatcore.RestoreConfig{Vault: run.vault, Progress: func(chatcore.CopyProgress) error {
		cancel()
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := chatcore.New(t.Context(), on(t, namespace, 2)); !errors.Is(err, chatcore.ErrRestoring) {
		t.Errorf("it opens: %v", err)
	}
}

// TestRestore_TwoAtOnce runs a restore while another one runs: it is refused or, if it replaces the other one, that one fails.
func TestRestore_TwoAtOnce(t *testing.T) {
	run, namespace := runAndArchive(t, 0, nil), "to-"+uuid.NewString()
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	first := make(chan error, 1)
	go func() {
		_, err := chatcore.Restore(t.Context(), on(t, namespace, 0), chatcore.RestoreConfig{Vault: run.vault, Progress: func(chatcore.CopyProgress) error {
			once.Do(func() { close(begun) })
			<-goOn
			return nil
		}})
		first <- err
	}()
	receive(t, begun)
	if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), chatcore.RestoreConfig{Vault: run.vault}); !errors.Is(err, chatcore.ErrRestoring) {
		t.Errorf("the second: %v", err)
	}
	if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), chatcore.RestoreConfig{Vault: run.vault, ReplaceUnfinished: true}); err != nil {
		t.Errorf("the one that replaces: %v", err)
	}
	close(goOn)
	if err := receive(t, first); !errors.Is(err, chatcore.ErrConflict) {
		t.Errorf("the replaced one: %v", err)
	}
	run.sound(t, on(t, namespace, 2))
}

// TestRestore_RefusesAnOccupiedNamespace restores into namespaces that have keys of a log.
func TestRestore_RefusesAnOccupiedNamespace(t *testing.T) {
	run := runAndArchive(t, 0, nil)
	for _, key := range []string{"", "cc:{18}:chats", "cc:{message-delivery-stream}:id", "message-delivery-stream:{0}", "cc:{18}:a:0", "cc:log"} {
		namespace := "to-" + uuid.NewString()
		if key == "" {
			namespace = run.namespace
		} else if err := run.client.HSet(t.Context(), namespace+":"+key, "a", "b").Err(); err != nil {
			t.Fatal(err)
		}
		before := keysOf(t, run.client, namespace)
		for _, replace := range []bool{false, true} {
			if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), chatcore.RestoreConfig{Vault: run.vault, ReplaceUnfinished: replace}); !errors.Is(err, chatcore.ErrOccupied) {
				t.Errorf("with the key %q: %v", key, err)
			}
		}
		if after := keysOf(t, run.client, namespace); !slices.Equal(before, after) && key != "" {
			t.Errorf("with the key %q it has %q", key, after)
		}
	}
}

// flush deletes the keys of a namespace.
func (r archivedRun) flush(t *testing.T) {
	t.Helper()
	if err := r.client.Del(t.Context(), keysOf(t, r.client, r.namespace)...).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestRestore_LogID restores over a lost log whose core still runs. A log with another id stops that core; a closed log goes on with its id.
func TestRestore_LogID(t *testing.T) {
	t.Run("with a loss", func(t *testing.T) {
		run := runAndArchive(t, 0, nil)
		run.flush(t)
		report := must[chatcore.RestoreReport](t)(chatcore.Restore(t.Context(), on(t, run.namespace, 0), chatcore.RestoreConfig{Vault: run.vault}))
		if report.Log == run.log || report.Source != run.log || len(report.Ancestors) != 1 || report.Ancestors[0].Log != run.log || uint64(report.Ancestors[0].ForkAt.UnixMilli()) != run.end {
			t.Errorf("report %+v of log %s", report, run.log)
		}
		if _, err := run.core.Chats.Send(t.Context(), domain.Send{Chat: "a", Actor: "ada", Content: "x"}); !errors.Is(err, chatcore.ErrLogLost) {
			t.Errorf("a core of the lost log sends: %v", err)
		}
		run.sound(t, on(t, run.namespace, 2))
		second := storedLog(t, run.client, run.namespace, nil)
		second.manifest(0, 0, object.Ancestor{Log: run.log, ForkAt: run.end})
		second.tails(second.end, nil, nil)
		third := must[chatcore.RestoreReport](t)(chatcore.Restore(t.Context(), on(t, "to-"+uuid.NewString(), 0), chatcore.RestoreConfig{Vault: second.vault}))
		if len(third.Ancestors) != 2 || third.Ancestors[0].Log != report.Log || third.Ancestors[1].Log != run.log {
			t.Errorf("ancestors %+v", third.Ancestors)
		}
	})
	t.Run("without a loss", func(t *testing.T) {
		run := runAndArchive(t, firstMoment+9, nil)
		run.flush(t)
		report := must[chatcore.RestoreReport](t)(chatcore.Restore(t.Context(), on(t, run.namespace, 0), chatcore.RestoreConfig{Vault: run.vault}))
		if report.Log != run.log || report.Source != run.log || len(report.Ancestors) > 0 {
			t.Errorf("report %+v of log %s", report, run.log)
		}
		run.sound(t, on(t, run.namespace, 2))
		must[app.Sent](t)(run.core.Chats.Send(t.Context(), domain.Send{Chat: "a", Actor: "ada", Content: "it goes on"}))
	})
}

// TestRestore_GroupsGoOn has groups handle the events after their checkpoints, each once and in order.
func TestRestore_GroupsGoOn(t *testing.T) {
	want := make(map[domain.ChatID][]domain.Seq)
	run := runAndArchive(t, 0, func(l *archivedLog) map[string]map[domain.ChatID]domain.Seq {
		checkpoints := make(map[domain.ChatID]domain.Seq)
		for i, c := range l.chats {
			seq := domain.Seq(2 * i) // up to beyond the head
			if i != 1 {
				checkpoints[c.id] = seq
			} else {
				seq = 0
			}
			for seq++; seq <= domain.Seq(len(c.events)); seq++ {
				want[c.id] = append(want[c.id], seq)
			}
		}
		everything := make(map[domain.ChatID]domain.Seq)
		for _, c := range l.chats {
			everything[c.id] = domain.Seq(len(c.events))
		}
		return map[string]map[domain.ChatID]domain.Seq{"g": checkpoints, "idle": nil, chatcore.BuiltinGroup: everything, chatcore.VaultGroup: everything}
	})
	namespace := "to-" + uuid.NewString()
	report := must[chatcore.RestoreReport](t)(chatcore.Restore(t.Context(), on(t, namespace, 0), chatcore.RestoreConfig{Vault: run.vault, Partitions: 3}))
	if !slices.Equal(report.Groups, []string{"g", "idle"}) {
		t.Errorf("groups %q", report.Groups)
	}
	core := run.sound(t, on(t, namespace, 3))
	var mu sync.Mutex
	got, missing := make(map[domain.ChatID][]domain.Seq), 0
	for _, seqs := range want {
		missing += len(seqs)
	}
	err := core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		mu.Lock()
		defer mu.Unlock()
		got[d.Event.ChatID()] = append(got[d.Event.ChatID()], d.ID.Seq)
		if missing--; d.ID.Log != run.log || d.ID.Event == "" {
			t.Errorf("delivery %+v, the log was %s", d.ID, run.log)
		}
		return nil
	}))
	if err == nil {
		err = core.SubscribeBuiltins()
	}
	if err != nil {
		t.Fatal(err)
	}
	start(t, core)
	wait.Until(t, "the group has handled all events, and the read models are there", func() bool {
		mu.Lock()
		defer mu.Unlock()
		unread, err := core.Queries.UnreadOf(t.Context(), "ben")
		return missing <= 0 && err == nil && len(unread) == len(run.chats)
	})
	mu.Lock()
	defer mu.Unlock()
	for chat, seqs := range want {
		if !slices.Equal(got[chat], seqs) {
			t.Errorf("chat %s: %v, want %v", chat, got[chat], seqs)
		}
	}
}

// TestRestore_Cluster restores into a Cluster.
func TestRestore_Cluster(t *testing.T) {
	run := runAndArchive(t, 0, func(l *archivedLog) map[string]map[domain.ChatID]domain.Seq {
		return map[string]map[domain.ChatID]domain.Seq{"g": {l.chats[0].id: 1}}
	})
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.StartCluster(t, 3).URL()}, Log: chatcore.LogConfig{Partitions: 5}}
	stopped := chatcore.RestoreConfig{Vault: run.vault, Progress: func(chatcore.CopyProgress) error { return errEnough }}
	if _, err := chatcore.Restore(t.Context(), config, stopped); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if _, err := chatcore.New(t.Context(), config); !errors.Is(err, chatcore.ErrRestoring) {
		t.Errorf("it opens: %v", err)
	}
	report := must[chatcore.RestoreReport](t)(chatcore.Restore(t.Context(), config, chatcore.RestoreConfig{Vault: run.vault, Partitions: 5, ReplaceUnfinished: true}))
	if report.Chats != len(run.chats) || len(report.Groups) != 1 {
		t.Errorf("report %+v", report)
	}
	core := opened(t)(chatcore.New(t.Context(), config))
	if found := checked(t, core, chatcore.FsckConfig{}); len(found) > 0 {
		t.Errorf("a restored log has %+v", found)
	}
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "a", Actor: "ada", Content: "it goes on"}))
	if report, found := verified(t, chatcore.Config{}, chatcore.VerifyConfig{Vault: run.vault}); len(found) > 0 || report.Chats != len(run.chats) {
		t.Errorf("report %+v, findings %+v", report, found)
	}
}

// TestRestore_RefusedVault leaves the namespace empty if the vault cannot be read as asked, or has damage that shows at the beginning.
func TestRestore_RefusedVault(t *testing.T) {
	run := runAndArchive(t, 0, nil)
	for name, c := range map[string]struct {
		restore chatcore.RestoreConfig
		want    error
	}{
		"another log":          {chatcore.RestoreConfig{Vault: run.vault, Log: "abcd"}, chatcore.ErrLogNotFound},
		"an empty vault":       {chatcore.RestoreConfig{Vault: memory.NewVault()}, chatcore.ErrLogNotFound},
		"a moment long before": {chatcore.RestoreConfig{Vault: run.vault, At: time.UnixMilli(1)}, domain.ErrInvalid},
		"too many partitions":  {chatcore.RestoreConfig{Vault: run.vault, Partitions: 1 << 20}, domain.ErrInvalid},
	} {
		namespace := "to-" + uuid.NewString()
		if _, err := chatcore.Restore(t.Context(), on(t, namespace, 0), c.restore); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if keys := keysOf(t, run.client, namespace); len(keys) > 0 {
			t.Errorf("%s: it has left %q", name, keys)
		}
	}
}
