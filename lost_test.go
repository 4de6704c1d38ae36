package chatcore_test

import (
	"context"
	"errors"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestASeqThatIsUsedAgainIsDelivered has Redis lose an event while its handler runs, and another one take its seq.
func TestASeqThatIsUsedAgainIsDelivered(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	arrived := make(chan domain.MessageNew, 8)
	err := core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		if d.Event.Content == "lost" {
			server.Kill() // before finished deliveries can be committed
		}
		arrived <- d.Event
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	start(t, core)
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "first"}))
	receive(t, arrived)
	groups := core.Groups()
	for lag := uint64(1); lag > 0; { // until both events are committed
		lag = 0
		for _, partition := range must[[]chatcore.GroupState](t)(groups.List(ctx))[0].Partitions {
			lag += partition.Lag
		}
	}
	if err := server.Client(t).Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "lost"}); err != nil && !errors.Is(err, ports.ErrOutcomeUnknown) { // whose answer the kill may cut off
		t.Fatal(err)
	}
	if e := receive(t, arrived); e.Content != "lost" {
		t.Fatalf("%+v", e)
	}
	server.Restart(t)
	for {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "kept", Content: "kept"})
		if err == nil {
			break
		}
		if !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
	}
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "next"}))
	for _, want := range []domain.Content{"kept", "next"} {
		if e := receive(t, arrived); e.Content != want {
			t.Fatalf("%q was delivered, want %q", e.Content, want)
		}
	}
}
