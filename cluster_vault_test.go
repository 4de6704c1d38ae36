package chatcore_test

import (
	"fmt"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestVault_OnACluster archives a log on a Cluster while retention erases in it. The vault has what the Cluster has, and a restore into a single server has the same
// messages with the same policies and holds.
func TestVault_OnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	ctx, v := t.Context(), memory.NewVault()
	config := chatcore.Config{
		Redis: chatcore.RedisConfig{URL: cluster.URL()}, Vault: chatcore.VaultConfig{Store: v, Flush: 100 * time.Millisecond}, Retention: chatcore.RetentionConfig{Rate: 1_000_000},
	}
	core := opened(t)(chatcore.New(ctx, config))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	const chats, each, long, kept = 6, 20, 1100, 5
	total := map[domain.ChatID]int{"long": long}
	for i := range chats {
		total[domain.ChatID(fmt.Sprint("c", i))] = each
	}
	for chat, n := range total {
		speak(t, core, chat, n)
		must[domain.RetentionPolicy](t)(core.Retention.SetPolicy(ctx, chat, domain.Retention{MaxMessages: kept}, "ops"))
	}
	hold := domain.Hold{HoldSubject: domain.HoldSubject{Chat: "c0"}, ID: "case", Reason: "a claim", By: "legal", At: time.UnixMilli(1700000000000).UTC()}
	if err := core.Retention.AddHold(ctx, hold); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a segment to be sealed", func() bool { return len(generationsOf(t, v)) == 1 })
	for i := range cluster.Masters {
		endGraces(t, cluster.Client(t, i), "")
	}
	if done, err := core.Retention.ExpireAll(ctx); err != nil || done.Erased != (chats-1)*(each-kept)+long-kept {
		t.Fatalf("%+v, error %v", done, err)
	}
	if err := core.Vault().Backup(ctx, nil); err != nil {
		t.Fatal(err)
	}
	report, err := chatcore.Verify(ctx, config, chatcore.VerifyConfig{Vault: v, Redis: true, Report: func(f chatcore.VaultFinding) error {
		t.Errorf("%+v", f)
		return nil
	}})
	if err != nil || report.Chats != len(total) || report.Ahead != 0 || report.Segments == 0 {
		t.Errorf("%+v, error %v", report, err)
	}
	into := vaultConfig(t, nil)
	if _, err := chatcore.Restore(ctx, into, chatcore.RestoreConfig{Vault: v, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	restored := opened(t)(chatcore.New(ctx, into))
	for chat, n := range total {
		left := min(n, kept)
		if chat == "c0" {
			left = n
		}
		for _, c := range []*chatcore.Core{core, restored} {
			if got := unerased(t, c, chat); got != left {
				t.Errorf("chat %s has %d messages with content, want %d", chat, got, left)
			}
		}
	}
	if holds, err := restored.Retention.Holds(ctx); err != nil || len(holds) != 1 || holds[0] != hold {
		t.Errorf("the restored holds are %+v, error %v", holds, err)
	}
}

// unerased returns how many messages of a chat have content.
func unerased(t *testing.T, core *chatcore.Core, chat domain.ChatID) (n int) {
	t.Helper()
	for span := (domain.Span{First: true, Limit: 100}); ; span.First = false {
		page := must[[]app.MessageView](t)(core.Queries.History(t.Context(), chat, span))
		for _, m := range page {
			if !m.Erased {
				n++
			}
			span.After = m.Seq
		}
		if len(page) == 0 {
			return n
		}
	}
}
