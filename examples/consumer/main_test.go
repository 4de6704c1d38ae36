package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/wait"
)

// text is what the program prints.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// TestRun runs the program beside a core that serves the API, and stops it.
func TestRun(t *testing.T) {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	check(core.SubscribeDefined())
	running, stopCore := context.WithCancel(context.Background())
	check(core.Start(running))
	t.Cleanup(func() {
		stopCore()
		if err := core.Wait(); err != nil {
			t.Error(err)
		}
	})
	url := serve(t, core)
	ctx := t.Context()
	_, err = core.Definitions().Create(ctx, groups.Definition{Group: "push", Kind: groups.KindPull, Filter: groups.Filter{Types: []string{"message:new"}}})
	check(err)
	_, err = core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada", Title: "Garden"})
	check(err)
	for i, content := range []string{"The tomatoes are ripe.", "Who comes on Sunday?"} {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: content})
		check(err)
	}
	var out text
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(consuming, []string{"--url", url, "--group", "push"}, "", &out) }()
	wait.Until(t, "both messages are printed", func() bool { return strings.Count(out.String(), "\n") == 2 })
	stop()
	check(<-ended)
	if got, want := out.String(), "garden 2: The tomatoes are ripe.\ngarden 3: Who comes on Sunday?\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

// serve serves the API of a core without TLS, and returns its URL.
func serve(t *testing.T, core *chatcore.Core) string {
	t.Helper()
	api, err := connect.New(core, connect.Config{})
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Sessions: core.Sessions, Local: true, OnError: connect.OnAuthError(nil)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: authenticator.Middleware(api), Protocols: &protocols, ReadHeaderTimeout: wait.Limit}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}
