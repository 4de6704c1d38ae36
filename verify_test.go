package chatcore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/vault/object"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// verified returns the findings of a check of a vault.
func verified(t *testing.T, config chatcore.Config, verify chatcore.VerifyConfig) (chatcore.VerifyReport, []chatcore.VaultFinding) {
	t.Helper()
	var found []chatcore.VaultFinding
	verify.Report = func(f chatcore.VaultFinding) error {
		found = append(found, f)
		return nil
	}
	report, err := chatcore.Verify(t.Context(), config, verify)
	if err != nil {
		t.Fatal(err)
	}
	if report.Findings != len(found) {
		t.Errorf("%d findings, and %d in the report", len(found), report.Findings)
	}
	return report, found
}

// archivedBig is a log whose chat "big" has a sealed segment.
func archivedBig(t *testing.T) (run archivedRun, big *archivedChat, config chatcore.Config) {
	t.Helper()
	client, namespace := shared(t), "run-"+uuid.NewString()
	config = on(t, namespace, 2)
	core := opened(t)(chatcore.New(t.Context(), config))
	fillChats(t, core, twoSegments)
	l := storedLog(t, client, namespace, nil)
	l.archive(0, nil)
	l.end++
	l.journal(l.end - 1)
	big = l.chats[slices.IndexFunc(l.chats, func(c *archivedChat) bool { return c.id == "big" })]
	return archivedRun{l, core, client, namespace}, big, config
}

func TestVerify_SoundVault(t *testing.T) {
	run, big, config := archivedBig(t)
	var roots []string
	verify := chatcore.VerifyConfig{Vault: run.vault, Redis: true, Sealed: func(chat domain.ChatID, segment uint64, root string) {
		if chat != "big" || segment != 0 {
			t.Errorf("segment %d of chat %s", segment, chat)
		}
		roots = append(roots, root)
	}}
	report, found := verified(t, config, verify)
	if len(found) > 0 || report.Log != run.log || report.Chats != 3 || report.Segments != 1 || report.Events < len(big.events) || report.Journals != 1 || report.Ahead != 0 || len(roots) != 1 {
		t.Errorf("report %+v, findings %+v, roots %v", report, found, roots)
	}
	must[app.Sent](t)(run.core.Chats.Send(t.Context(), domain.Send{Chat: "small", Actor: "ben", Content: "not in the vault yet"}))
	verify = chatcore.VerifyConfig{Vault: run.vault, Redis: true, Roots: roots}
	if report, found := verified(t, config, verify); len(found) > 0 || report.Ahead != 1 {
		t.Errorf("report %+v, findings %+v", report, found)
	}
	verify.Roots = []string{strings.Repeat("0a", 32)}
	if _, found := verified(t, config, verify); len(found) != 1 || found[0].Kind != "root" {
		t.Errorf("another root: %+v", found)
	}
	verify.Roots = []string{"0a"}
	if _, err := chatcore.Verify(t.Context(), config, verify); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no root: %v", err)
	}
	if _, err := chatcore.Verify(t.Context(), on(t, "none-"+uuid.NewString(), 1), chatcore.VerifyConfig{Vault: run.vault, Redis: true}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no log in Redis: %v", err)
	}
}

// TestVerify_FindsDamage changes bytes of objects and events of Redis: each is found, with its chat, and the rest is checked.
func TestVerify_FindsDamage(t *testing.T) {
	run, _, config := archivedBig(t)
	ctx := t.Context()
	var names []string
	for o, err := range run.vault.List(ctx, run.log+"/", "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	for _, name := range names {
		if strings.Contains(name, "manifest") {
			continue
		}
		data := must[[]byte](t)(run.vault.Get(ctx, name, 0, ports.WholeObject))
		changed := slices.Clone(data)
		changed[len(changed)/2] ^= 1
		if err := errors.Join(run.vault.Delete(ctx, name), run.vault.Put(ctx, name, changed)); err != nil {
			t.Fatal(err)
		}
		report, err := chatcore.Verify(ctx, config, chatcore.VerifyConfig{Vault: run.vault})
		var refused *object.Error
		if report.Findings == 0 && !errors.As(err, &refused) {
			t.Errorf("%s is damaged: %+v %v", name, report, err)
		}
		if err := errors.Join(run.vault.Delete(ctx, name), run.vault.Put(ctx, name, data)); err != nil {
			t.Fatal(err)
		}
	}
	segment := object.Segment(run.log, 0, "big", 0, 0)
	for _, name := range names {
		if parsed, err := object.ParseName(name); err == nil && parsed.Kind == object.KindSegment {
			segment = parsed
		}
	}
	data := must[[]byte](t)(run.vault.Get(ctx, segment.String(), 0, ports.WholeObject))
	if err := errors.Join(run.vault.Delete(ctx, segment.String()), run.vault.Put(ctx, segment.String(), data[:100])); err != nil {
		t.Fatal(err)
	}
	report, found := verified(t, config, chatcore.VerifyConfig{Vault: run.vault})
	if len(found) != 1 || found[0].Kind != "object" || found[0].Chat != "big" || report.Chats != 3 {
		t.Errorf("a truncated segment: %+v %+v", report, found)
	}
	if err := errors.Join(run.vault.Delete(ctx, segment.String()), run.vault.Put(ctx, segment.String(), data)); err != nil {
		t.Fatal(err)
	}

	key := must[[]string](t)(run.client.Keys(ctx, run.namespace+":cc:{*}:small:0").Result())[0]
	entry := must[string](t)(run.client.LIndex(ctx, key, 1).Result())
	for what, change := range map[string]func() error{
		"has another event": func() error {
			return run.client.LSet(ctx, key, 1, `{"eventId":"x"}`).Err()
		},
		"does not have the event": func() error { return run.client.LTrim(ctx, key, 0, 0).Err() },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, found := verified(t, config, chatcore.VerifyConfig{Vault: run.vault, Redis: true}); len(found) != 1 || found[0].Kind != "redis" || found[0].Chat != "small" || found[0].Seq != 2 || !strings.Contains(found[0].What, what) {
			t.Errorf("%s: %+v", what, found)
		}
		run.client.LTrim(ctx, key, 0, 0)
		run.client.RPush(ctx, key, entry)
	}
	other := "to-" + uuid.NewString()
	report2 := must[chatcore.RestoreReport](t)(chatcore.Restore(ctx, on(t, other, 0), chatcore.RestoreConfig{Vault: run.vault}))
	if _, err := chatcore.Verify(ctx, on(t, other, 2), chatcore.VerifyConfig{Vault: run.vault, Redis: true}); !errors.Is(err, chatcore.ErrLogLost) {
		t.Errorf("log %s is restored as %s: %v", run.log, report2.Log, err)
	}
	if text := fmt.Sprint(report2.Moment); !strings.HasPrefix(text, "20") {
		t.Errorf("moment %s", text)
	}
}
