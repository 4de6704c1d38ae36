package embedded_test

import (
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"chatcore"
	"chatcore/domain"
	"chatcore/embedded"
	"chatcore/tests/wait"
)

// TestEditWindow_ServerClock moves the clock of the server of a core that runs: the window of a message ends by it.
func TestEditWindow_ServerClock(t *testing.T) {
	const window = 30 * time.Minute
	server := miniredis.RunT(t)
	embedded.Identify(server)
	began := time.Now().Add(time.Hour)
	server.SetTime(began)
	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://" + server.Addr()}, Limits: chatcore.LimitsConfig{EditWindow: window}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	if _, err := core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	m, err := core.Queries.Message(t.Context(), "c", "m")
	if err != nil || m.SentAt.Before(began.Truncate(time.Millisecond)) {
		t.Errorf("it was sent at %v, by Redis's clock after %v: %v", m.SentAt, began, err)
	}
	edit := func(content string) error {
		_, err := core.Chats.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: content})
		return err
	}
	if err := edit("within the window"); err != nil {
		t.Fatal(err)
	}
	server.SetTime(began.Add(2 * window))
	wait.Until(t, "the window to pass by Redis's clock", func() bool { return errors.Is(edit("after the window"), domain.ErrEditWindow) })
}
