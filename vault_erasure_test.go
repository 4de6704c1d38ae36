package chatcore_test

import (
	"strings"
	"testing"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// TestVault_Erasure erases a message of a sealed segment, and one that only journals and tails have. The segment loses it, journals and tails say until when they have it, and a
// restored log has neither.
func TestVault_Erasure(t *testing.T) {
	t.Parallel()
	ctx, v := t.Context(), memory.NewVault()
	config := vaultConfig(t, v)
	core := opened(t)(chatcore.New(ctx, config))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	const secret = "the secret word"
	speak(t, core, "c", 1)
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "early", Content: secret}); err != nil {
		t.Fatal(err)
	}
	speak(t, core, "c", 1030)
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "late", Content: secret}); err != nil {
		t.Fatal(err)
	}
	if err := core.Vault().Backup(ctx, nil); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a segment is sealed", func() bool { return len(segmentsWith(t, v, secret)) == 1 })
	for _, message := range []domain.MessageID{"early", "late"} {
		if _, err := core.Chats.Erase(ctx, domain.Erase{Chat: "c", Actor: "ada", MessageID: message}); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the vault has erased it", func() bool {
			places, err := core.VerifyErasure(ctx, "c", message)
			if err != nil {
				t.Fatal(err)
			}
			status := make(map[string]ports.ErasurePlace)
			for _, p := range places {
				status[p.Place] = p
			}
			for _, place := range []string{erase.PlaceJournals, erase.PlaceTails} {
				if p := status[place]; p.Status != ports.ErasurePending || p.Until.IsZero() {
					t.Fatalf("%s: %+v", place, p)
				}
			}
			return status[erase.PlaceLists].Status == ports.ErasureDone && status[chatcore.PlaceStreams].Status == ports.ErasureDone
		})
	}
	if left := segmentsWith(t, v, secret); len(left) != 1 || left[0].Generation != 0 { // until its grace has ended
		t.Errorf("the segments with the content are %v", left)
	}
	into := vaultConfig(t, nil)
	if _, err := chatcore.Restore(ctx, into, chatcore.RestoreConfig{Vault: v}); err != nil {
		t.Fatal(err)
	}
	restored := opened(t)(chatcore.New(ctx, into))
	for span := (domain.Span{First: true, Limit: 256}); ; span.First = false {
		page, err := restored.Queries.Events(ctx, "c", span)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			if m, ok := r.Event.(domain.MessageNew); ok && strings.Contains(string(m.Content), secret) {
				t.Errorf("seq %d is restored with its content", r.Seq)
			}
		}
		span.After = page[len(page)-1].Seq
	}
}

// segmentsWith returns the sealed segments of a vault that have a text.
func segmentsWith(t *testing.T, v ports.Vault, text string) (names []object.Name) {
	t.Helper()
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil || name.Kind != object.KindSegment {
			continue
		}
		data, err := v.Get(t.Context(), o.Name, 0, ports.WholeObject)
		if err != nil {
			t.Fatal(err)
		}
		segment, err := codec.DecodeSegment(name, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range segment.Events {
			if strings.Contains(string(e.JSON), text) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}
