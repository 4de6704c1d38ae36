package chatcore_test

import (
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/domain"
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
