package chatcore_test

import (
	"context"
	"fmt"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
)

func TestACoreOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}}))
	const chats, each = 8, 5
	arrived, live := make(chan chatcore.Delivery[domain.MessageNew], chats*each), make(chan domain.TypingStop, 1)
	if err := core.Subscribe("push", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		arrived <- d
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStop]) { live <- l.Event })); err != nil {
		t.Fatal(err)
	}
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	ctx := t.Context()
	for i := range chats {
		chat := domain.ChatID(fmt.Sprint("c", i))
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Members: []domain.UserID{"ben", domain.UserID(fmt.Sprint("user-", i))}}))
		for range each {
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "x"}))
		}
	}
	last := map[domain.ChatID]domain.Seq{}
	for range chats * each {
		d := receive(t, arrived)
		if d.ID.Seq <= last[d.ID.Chat] {
			t.Errorf("chat %s: seq %d after %d", d.ID.Chat, d.ID.Seq, last[d.ID.Chat])
		}
		last[d.ID.Chat] = d.ID.Seq
	}
	must[bool](t)(core.Chats.StartTyping(ctx, domain.Typing{Chat: "c0", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c0", Actor: "ada", Content: "y"}))
	if e := receive(t, live); e.Chat != "c0" || e.User != "ada" {
		t.Errorf("%+v", e)
	}
	receive(t, arrived)
	if m := must[[]app.MessageView](t)(core.Queries.History(ctx, "c0", domain.Span{})); len(m) != each+1 {
		t.Errorf("%d messages", len(m))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if differences, err := foldcheck.Await(ctx, core); err != nil || len(differences) > 0 {
		t.Errorf("the read models differ: %q, error %v", differences, err)
	}
	stop()
}
