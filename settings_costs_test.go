package chatcore_test

import (
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestSettings_RoundTrips counts the script calls of commands and queries of settings, pins and lists. The read models are kept in the background, so that the test
// stops them before it counts.
func TestSettings_RoundTrips(t *testing.T) {
	server := redistest.Start(t)
	ctx, client := t.Context(), server.Client(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}
	keeper := opened(t)(chatcore.New(ctx, config))
	if err := keeper.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	stop := start(t, keeper)
	fillChat(t, keeper, "chat")
	must[app.Done](t)(keeper.Chats.Pin(ctx, domain.Pin{Chat: "chat", Actor: owner, MessageID: "early"}))
	must[app.Done](t)(keeper.Chats.Pin(ctx, domain.Pin{Chat: "chat", Actor: owner, MessageID: "late"}))
	wait.Until(t, "the read models have the membership", func() bool {
		return len(must[[]domain.ChatID](t)(keeper.Queries.ChatsOf(ctx, member))) == 1
	})
	stop()
	core := opened(t)(chatcore.New(ctx, config))
	level := domain.NotifyAll
	for name, test := range map[string]struct {
		do   func() (any, error)
		want int
	}{
		"SetSettings": {func() (any, error) {
			level = domain.NotifyAll + domain.NotifyNone - level
			return any1(core.Chats.SetSettings(ctx, domain.SetSettings{Chat: "chat", Actor: member, Settings: domain.SettingsChange{Notify: &level}}))
		}, 1}, // favourites and hidden chats are written into their view afterwards
		"Settings":     {func() (any, error) { return any1(core.Queries.Settings(ctx, "chat", member, owner)) }, 1},
		"Pins":         {func() (any, error) { return any1(core.Queries.Pins(ctx, "chat")) }, 2},
		"ReadBy":       {func() (any, error) { return any1(core.Queries.ReadBy(ctx, "chat", "early")) }, 1},     // after the names of the members
		"UnreadTotals": {func() (any, error) { return any1(core.Queries.UnreadTotals(ctx, member, false)) }, 2}, // after the user's chats
		"Unread":       {func() (any, error) { return any1(core.Queries.Unread(ctx, "chat", member)) }, 1},
	} {
		must[any](t)(test.do()) // whatever is loaded once is loaded
		before := redistest.AllCommands(t, client)["evalsha"]
		must[any](t)(test.do())
		if got := redistest.AllCommands(t, client)["evalsha"] - before; got != test.want {
			t.Errorf("%s takes %d script calls, want %d", name, got, test.want)
		}
	}
}
