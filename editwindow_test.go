package chatcore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// shiftedClock is the clock of a process whose host is set wrong.
type shiftedClock time.Duration

func (s shiftedClock) Now() time.Time { return time.Now().Add(time.Duration(s)) }

func (s shiftedClock) Sleep(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until.Add(-time.Duration(s)))
	defer cancel()
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return ctx.Err()
}

// TestEditWindow_ClocksApart runs two processes whose clocks are wrong by an hour in both directions. Redis's clock stamps their messages and
// decides their edits.
func TestEditWindow_ClocksApart(t *testing.T) {
	t.Run("single", func(t *testing.T) {
		server := redistest.Start(t)
		testClocksApart(t, server.URL(), server.Client(t))
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, 3)
		testClocksApart(t, cluster.URL(), cluster.Client(t, 0))
	})
}

func testClocksApart(t *testing.T, url string, client *goredis.Client) {
	const window = 30 * time.Minute
	cores := make(map[string]*chatcore.Core)
	for name, clock := range map[string]shiftedClock{"early": shiftedClock(time.Hour), "late": shiftedClock(-time.Hour)} {
		cores[name] = opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: url}, Limits: chatcore.LimitsConfig{EditWindow: window}}, chatcore.WithClock(clock)))
	}
	ctx := t.Context()
	must[app.Done](t)(cores["late"].Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	send := func(chats *app.Chats, id domain.MessageID) {
		must[app.Sent](t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: id, Content: "x"}))
	}
	now := must[time.Time](t)(client.Time(ctx).Result())
	for name, core := range cores {
		send(core.Chats, domain.MessageID("now-"+name))
		sent := must[app.MessageView](t)(core.Queries.Message(ctx, "c", domain.MessageID("now-"+name)))
		if sent.SentAt.Before(now.Add(-time.Second)) || sent.SentAt.After(now.Add(wait.Limit)) {
			t.Errorf("the process with the %s clock stamped %v at %v", name, sent.SentAt, now)
		}
	}
	send(cores["late"].Chats.Backdated(now.Add(-window-15*time.Minute)), "past-window")
	send(cores["late"].Chats.Backdated(now.Add(-window/3)), "within-window")
	for name, core := range cores {
		edit := func(id domain.MessageID) error {
			_, err := core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: id, Content: "by " + name})
			return err
		}
		for _, id := range []domain.MessageID{"now-early", "now-late", "within-window"} {
			if err := edit(id); err != nil {
				t.Errorf("the process with the %s clock edits the message %q: %v", name, id, err)
			}
		}
		if err := edit("past-window"); !errors.Is(err, domain.ErrEditWindow) {
			t.Errorf("the process with the %s clock edits after the window: %v", name, err)
		}
	}
}
