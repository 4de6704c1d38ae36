// Package apiserver runs a core on a private Redis and the handlers of its API, for tests of clients and of docs/api.md.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// Server is a core that runs until the test ends. It has two dead letters in the group push, a group reports that nobody runs, custom events of type
// poll:voted, webhooks to http://127.0.0.1, and a limit of 5 logins in 15 minutes.
type Server struct {
	Core    *chatcore.Core
	Local   http.Handler // takes programs on this machine for a service with all scopes
	Guarded http.Handler // requires a token
	Token   string       // of a service with all scopes
}

// Start starts a server.
func Start(t testing.TB) *Server {
	t.Helper()
	core := start(t)
	deadLetters(t, core, 2)
	api, err := connect.New(core, connect.Config{EventTypes: map[domain.CustomType]int{"poll:voted": 1}, OpenReflection: true})
	if err != nil {
		t.Fatal(err)
	}
	token, entry, err := auth.NewServiceToken("tests", auth.AllScopes())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	if err != nil {
		t.Fatal(err)
	}
	handler := func(config auth.Config) http.Handler {
		config.Sessions, config.OnError = core.Sessions, connect.OnAuthError(nil)
		authenticator, err := auth.New(config)
		if err != nil {
			t.Fatal(err)
		}
		return authenticator.Middleware(api)
	}
	return &Server{Core: core, Local: handler(auth.Config{Local: true}), Guarded: handler(auth.Config{Tokens: tokens}), Token: string(token)}
}

// start runs a core with the group push on a log that has the group reports.
func start(t testing.TB) *chatcore.Core {
	t.Helper()
	config := chatcore.Config{
		Redis:    chatcore.RedisConfig{URL: redistest.Start(t).URL()},
		Limits:   chatcore.LimitsConfig{Rates: map[string]app.Limit{app.LimitLogin: {Rate: 5, Per: 15 * time.Minute}}},
		Webhooks: chatcore.WebhooksConfig{Keys: []chatcore.WebhookKey{make([]byte, 32)}, Allow: []string{"127.0.0.1"}, AllowHTTP: true},
	}
	_, stop := run(t, config, func(core *chatcore.Core) error { return core.Subscribe("reports") })
	stop()
	push := chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		if d.Event.Content == "poison" {
			return chatcore.Permanent(errors.New("no device accepts it"))
		}
		return nil
	})
	core, stop := run(t, config, func(core *chatcore.Core) error {
		return errors.Join(core.SubscribeBuiltins(), core.SubscribeDefined(), core.Subscribe("push", push))
	})
	t.Cleanup(stop)
	return core
}

// run runs a core until stop is called.
func run(t testing.TB, config chatcore.Config, subscribe func(*chatcore.Core) error) (core *chatcore.Core, stop func()) {
	t.Helper()
	core, err := chatcore.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := errors.Join(subscribe(core), core.Start(ctx)); err != nil {
		cancel()
		t.Fatal(err)
	}
	return core, func() {
		cancel()
		if err := core.Wait(); err != nil {
			t.Errorf("the core ended with %v", err)
		}
	}
}

// deadLetters sends messages that the group push refuses, and waits until they are dead letters.
func deadLetters(t testing.TB, core *chatcore.Core, count int) {
	t.Helper()
	_, err := core.Chats.Create(t.Context(), domain.Create{Chat: "cellar", Actor: "ada"})
	for i := range count {
		_, sent := core.Chats.Send(t.Context(), domain.Send{Chat: "cellar", Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("p", i)), Content: "poison"})
		err = errors.Join(err, sent)
	}
	if err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the dead letters are there", func() bool {
		found := 0
		for _, err := range core.Groups().DeadLetters(t.Context(), "push") {
			if err != nil {
				t.Fatal(err)
			}
			found++
		}
		return found == count
	})
}
