package chatcore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/vault/object"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// TestVault_Rules restores a log with policies and holds into another number of partitions: they are there before the log opens.
func TestVault_Rules(t *testing.T) {
	t.Parallel()
	ctx, v := t.Context(), memory.NewVault()
	core := opened(t)(chatcore.New(ctx, vaultConfig(t, v)))
	start(t, core)
	speak(t, core, "c", 1)
	var holds []domain.Hold
	for _, subject := range []domain.HoldSubject{{}, {Chat: "c"}, {Chat: "absent"}, {User: "ada"}} {
		h := domain.Hold{HoldSubject: subject, ID: "case", Reason: "a claim", By: "legal", At: time.UnixMilli(1700000000000).UTC()}
		if err := core.Retention.AddHold(ctx, h); err != nil {
			t.Fatal(err)
		}
		holds = append(holds, h)
	}
	policy := must[domain.RetentionPolicy](t)(core.Retention.SetPolicy(ctx, "c", domain.Retention{MaxMessages: 7}, "ops"))
	for i := range 2 { // the vault follows a change
		if err := core.Vault().Backup(ctx, nil); err != nil {
			t.Fatal(err)
		}
		into := vaultConfig(t, nil)
		into.Log.Partitions = 3
		if _, err := chatcore.Restore(ctx, into, chatcore.RestoreConfig{Vault: v, Partitions: 3}); err != nil {
			t.Fatal(err)
		}
		restored := opened(t)(chatcore.New(ctx, into))
		got, err := restored.Retention.Holds(ctx)
		if err != nil || len(got) != len(holds) {
			t.Fatalf("the holds are %+v, %v", got, err)
		}
		for _, h := range holds {
			found := false
			for _, g := range got {
				found = found || g == h
			}
			if !found {
				t.Errorf("the hold %+v is not among %+v", h, got)
			}
		}
		if status, err := restored.Retention.Status(ctx, false); err != nil || len(status) != 2 || status[1].Policy != policy {
			t.Errorf("the policies are %+v, %v", status, err)
		}
		if i == 0 {
			if err := core.Retention.RemoveHold(ctx, domain.HoldSubject{User: "ada"}, "case"); err != nil {
				t.Fatal(err)
			}
			holds = holds[:3]
		}
	}
	if report, err := chatcore.Verify(ctx, vaultConfig(t, nil), chatcore.VerifyConfig{Vault: v}); err != nil || report.Findings > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestVault_Retention erases more than two segments by count. The vault lists the erasures at once, so that no restore revives the content; whole segments lose it in
// one rewriting, the segment of which a part is erased only after the time for which journals are kept.
func TestVault_Retention(t *testing.T) {
	t.Parallel()
	const secret, messages = "the secret word", 2700
	ctx, v := t.Context(), memory.NewVault()
	config := vaultConfig(t, v)
	config.Retention.Rate = 1_000_000
	core := opened(t)(chatcore.New(ctx, config))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	speak(t, core, "c", 1)
	for i := range messages {
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: secret}))
	}
	backUp := func() {
		t.Helper()
		if err := core.Vault().Backup(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	backUp()
	wait.Until(t, "two segments to be sealed", func() bool { return len(segmentsWith(t, v, secret)) == 2 })
	must[domain.RetentionPolicy](t)(core.Retention.SetPolicy(ctx, "c", domain.Retention{MaxMessages: messages - 1500}, "ops"))
	endGraces(t, redisOf(t, config), config.Redis.Namespace+":")
	if done, err := core.Retention.ExpireAll(ctx); err != nil || done.Erased < 1500 {
		t.Fatalf("%+v, %v", done, err)
	}
	backUp()
	wait.Until(t, "all full segments to be sealed", func() bool { return len(generationsOf(t, v)) == 5 })
	follow := func(now time.Time, want ...object.Name) {
		t.Helper()
		if err := core.FollowRetention(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		found := segmentsWith(t, v, secret)
		if len(found) != len(want) {
			t.Fatalf("segments with the content are %v, want %v", found, want)
		}
		for i := range want {
			if found[i].Number != want[i].Number || found[i].Generation != want[i].Generation {
				t.Errorf("segments with the content are %v, want %v", found, want)
			}
		}
	}
	now := time.Now()
	first, second, third := object.Name{Number: 0}, object.Name{Number: 1}, object.Name{Number: 2} // the third has none that is due
	follow(now, first, second, third)                                                              // the first generation until its grace has ended
	follow(now, first, second, third)
	if names := generationsOf(t, v); !slices.Equal(names, []string{"0.0", "0.1", "1.0", "2.0", "3.0", "4.0"}) {
		t.Errorf("the generations are %v", names)
	}
	follow(now.Add(8*24*time.Hour), first, second, object.Name{Number: 1, Generation: 1}, third)
	if names := generationsOf(t, v); !slices.Equal(names, []string{"0.0", "0.1", "1.0", "1.1", "2.0", "3.0", "4.0"}) {
		t.Errorf("after a week the generations are %v", names)
	}
	into := vaultConfig(t, nil)
	if _, err := chatcore.Restore(ctx, into, chatcore.RestoreConfig{Vault: v}); err != nil {
		t.Fatal(err)
	}
	restored := opened(t)(chatcore.New(ctx, into))
	for _, id := range []domain.MessageID{"m0", "m1023", "m1400"} {
		if m, err := restored.Queries.Message(ctx, "c", id); err != nil || !m.Erased || m.Content != "" {
			t.Errorf("%s is restored as %+v, %v", id, m, err)
		}
	}
	if m, err := restored.Queries.Message(ctx, "c", "m2699"); err != nil || m.Content != secret {
		t.Errorf("a kept message is restored as %+v, %v", m, err)
	}
}

// generationsOf returns the numbers and generations of all sealed segments.
func generationsOf(t *testing.T, v ports.Vault) (names []string) {
	t.Helper()
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if name, err := object.ParseName(o.Name); err == nil && name.Kind == object.KindSegment {
			names = append(names, fmt.Sprintf("%d.%d", name.Number, name.Generation))
		}
	}
	return names
}

// redisOf returns a client of the Redis of a configuration.
func redisOf(t *testing.T, config chatcore.Config) *goredis.Client {
	t.Helper()
	options, err := goredis.ParseURL(config.Redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
