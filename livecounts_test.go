package chatcore_test

import (
	"context"
	"encoding/json"
	"testing"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestLiveCounts_AddUp publishes more than listeners and subscribers take, some of it unreadable.
func TestLiveCounts_AddUp(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(chatcore.Config{Delivery: chatcore.DeliveryConfig{LiveBuffer: 4}}), t.Context()
		gate := make(chan struct{})
		if err := core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.TypingStart]) { <-gate })); err != nil {
			t.Fatal(err)
		}
		if _, err := core.Helpers.Subscribe(ctx, "x", func(context.Context, json.RawMessage) { <-gate }); err != nil {
			t.Fatal(err)
		}
		if _, err := core.Helpers.Subscribe(ctx, "x", func(context.Context, json.RawMessage) {}); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		const n = 500
		for range n {
			for channel, payload := range map[string]any{"x": 1, "typing:start": map[string]any{"chatId": "c", "userId": "ada"}} {
				if err := core.Helpers.Publish(ctx, channel, payload); err != nil {
					t.Fatal(err)
				}
			}
			if err := core.Helpers.Publish(ctx, "typing:start", "no event"); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all is received", func() bool { return core.Stats().LiveReceived == 4*n })
		close(gate)
		eventually(t, "every message is handled or dropped", func() bool {
			s := core.Stats()
			return s.LiveHandled+s.LiveDropped == s.LiveReceived
		})
		if s := core.Stats(); s.LiveReceived != 4*n || s.LiveReconnects != 0 || s.LiveDropped == 0 || s.LiveHandled == 0 {
			t.Errorf("%d received, %d handled, %d dropped, %d connections lost", s.LiveReceived, s.LiveHandled, s.LiveDropped, s.LiveReconnects)
		}
	})
}

// TestLiveCounts_LostConnection has the server close a live connection.
func TestLiveCounts_LostConnection(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}}))
	if _, err := core.Helpers.Subscribe(t.Context(), "x", func(context.Context, json.RawMessage) {}); err != nil {
		t.Fatal(err)
	}
	if err := server.Client(t).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lost connection is counted", func() bool { return core.Stats().LiveReconnects == 1 })
}
