package chatcore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestLimitsAreTakenByCommands(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{
			app.LimitSend: {Rate: 2, Per: time.Hour}, app.LimitLogin: {Algorithm: ports.GCRA, Rate: 5, Per: time.Hour},
		}}})
		ctx := t.Context()
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		for range 2 {
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		}
		_, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"})
		var limited *ports.LimitedError
		if !errors.As(err, &limited) || limited.Kind != app.LimitSend || limited.RetryAfter <= 59*time.Minute || limited.RetryAfter > time.Hour {
			t.Errorf("the third send: %v", err)
		}
		if d := must[ports.Decision](t)(core.Limits.Allow(ctx, app.LimitLogin, "ada@example.org")); d.Remaining != 4 {
			t.Errorf("the first login: %+v", d)
		}
		if s := core.Stats(); s.Limited != 1 || s.Unchecked != 0 {
			t.Errorf("counted %d limited, %d unchecked", s.Limited, s.Unchecked)
		}
	})
}

func TestWhoIsTyping(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		one, other := open(chatcore.Config{}), open(chatcore.Config{})
		ctx := t.Context()
		must[app.Done](t)(one.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"b:e%n"}}))
		must[bool](t)(one.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "b:e%n"}))
		must[bool](t)(one.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}))
		if users := must[[]domain.UserID](t)(one.Queries.Typing(ctx, "c")); !slices.Equal(users, []domain.UserID{"ada", "b:e%n"}) {
			t.Errorf("typing are %q", users)
		}
		if one.LogID() == other.LogID() { // they share a store: a send by one ends the typing that the other shows
			must[app.Sent](t)(other.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		} else {
			must[app.Sent](t)(one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		}
		if users := must[[]domain.UserID](t)(one.Queries.Typing(ctx, "c")); !slices.Equal(users, []domain.UserID{"b:e%n"}) {
			t.Errorf("after ada's message typing are %q", users)
		}
	})
}

// TestLimitsWithoutRedis stops and freezes the server: a login fails closed, an upload open, each counted as it is.
func TestLimitsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), CommandTimeout: time.Second}, Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{
		app.LimitLogin: {Rate: 5, Per: time.Hour}, "upload": {Rate: 5, Per: time.Hour},
	}}}))
	check := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
		defer cancel()
		if d, err := core.Limits.Allow(ctx, app.LimitLogin, "ada"); d.Allowed || !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s, a login: %+v, error %v", what, d, err)
		}
		if d, err := core.Limits.Allow(ctx, "upload", "ada"); !d.Allowed || err != nil {
			t.Errorf("%s, an upload: %+v, error %v", what, d, err)
		}
	}
	server.Freeze()
	check("frozen")
	server.Thaw()
	server.Kill()
	check("killed")
	if s := core.Stats(); s.Unchecked != 2 || s.Limited != 0 {
		t.Errorf("counted %d unchecked, %d limited", s.Unchecked, s.Limited)
	}
}

func TestALimitOfTheTeamsOwn(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{"upload": {Rate: 5, Per: time.Hour}}}}, chatcore.WithLimiter(never{})))
	if _, err := core.Limits.Allow(t.Context(), "upload", "ada"); !errors.Is(err, ports.ErrRateLimited) {
		t.Errorf("an upload: %v", err)
	}
	if _, err := chatcore.NewInMemory(chatcore.Config{Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{"upload": {}}}}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a limit of nothing: %v", err)
	}
}

// never allows anything.
type never struct{}

func (never) Allow(context.Context, ports.Limit, int, ...string) (ports.Decision, error) {
	return ports.Decision{RetryAfter: time.Second}, nil
}

func (never) AllowAll(context.Context, ...ports.Take) ([]ports.Decision, error) {
	return []ports.Decision{{RetryAfter: time.Second}}, nil
}
