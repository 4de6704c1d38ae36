package chatcore_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// heard returns a logger and a channel of its records. Records that are not received are discarded.
func heard() (*slog.Logger, <-chan string) {
	said := make(chan string, 64)
	return slog.New(hearing{slog.DiscardHandler, said}), said
}

type hearing struct {
	slog.Handler
	said chan<- string
}

func (hearing) Enabled(context.Context, slog.Level) bool { return true }

func (h hearing) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.said <- r.Message:
	default:
	}
	return nil
}

func await(t *testing.T, said <-chan string, message string) {
	t.Helper()
	for receive(t, said) != message {
	}
}

// TestACoreOpensOnceAllOfAClusterIsThere opens a core while one shard is away. The first answer comes from another one.
func TestACoreOpensOnceAllOfAClusterIsThere(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, "--appendonly", "yes", "--appendfsync", "always") // a crash right after a write must not lose it
	ctx := t.Context()
	before := opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}}))
	must[app.Done](t)(before.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	cluster.Masters[1].Kill()

	_, err := chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL(), ConnectAttempts: 2}, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, chatcore.ErrUnreachable) || !strings.Contains(err.Error(), "2 attempts") {
		t.Errorf("without a shard: %v", err)
	}

	type opening struct {
		core *chatcore.Core
		err  error
	}
	opens := make(chan opening, 1)
	logger, said := heard()
	go func() {
		core, err := chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}, Logger: logger})
		opens <- opening{core, err}
	}()
	await(t, said, "redis not reached, trying again")
	cluster.Masters[1].Restart(t)
	late := receive(t, opens)
	core := opened(t)(late.core, late.err)
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
}

// TestAGroupBeginsOnceRedisIsThere runs a core while Redis is away.
func TestAGroupBeginsOnceRedisIsThere(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	logger, said := heard()
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Logger: logger}))
	arrived := make(chan domain.MessageNew, 1)
	err := core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		arrived <- d.Event
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- core.Start(ctx) }()
	await(t, said, "group not ready, trying again")
	server.Restart(t)
	if err := receive(t, started); err != nil {
		t.Fatal(err)
	}
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	if e := receive(t, arrived); e.Content != "x" {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := receive(t, end(core)); err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

// TestARunThatWaitsForRedisCanBeEnded ends it while its group cannot be made.
func TestARunThatWaitsForRedisCanBeEnded(t *testing.T) {
	server := redistest.Start(t)
	logger, said := heard()
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Logger: logger}))
	if err := core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error { return nil })); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	await(t, said, "group not ready, trying again")
	cancel()
	if err := receive(t, ended); err != nil {
		t.Errorf("Run ended with %v", err)
	}
}
