package connect_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"chatcore/adapters/connect"
	"chatcore/adapters/connect/server"
	"chatcore/app/feed"
)

// stackFeed is a feed that reports the stack on which its reader waits, and ends.
type stackFeed struct {
	connect.FeedSource
	stack chan string
}

func (f stackFeed) Next(context.Context) (feed.Message, error) {
	f.stack <- string(debug.Stack())
	return feed.Message{}, feed.ErrEnded
}

// TestEvents_Stack has the goroutine of a feed wait without the frames of the handlers that have opened the feed: they would keep its stack at 16 KiB.
func TestEvents_Stack(t *testing.T) {
	feeds, stack, quiet := newScriptedFeeds(), make(chan string, 1), slog.New(slog.DiscardHandler)
	config := connect.Config{Logger: quiet}.WithFeeds(func(context.Context, feed.Request) (connect.FeedSource, error) {
		f := &scriptedFeed{log: "log", closed: make(chan struct{})}
		feeds.opened <- f
		return stackFeed{f, stack}, nil
	})
	s, err := server.New(server.Config{Handler: onlineHandler(t, config, nil), Probes: server.NewProbes(func(context.Context) error { return nil }, quiet), Logger: quiet})
	did(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	did(t, err)
	serving, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve(serving, listener) }()
	defer func() { stop(); did(t, <-served) }()

	answer, err := (&world{}).client(t).Get("http://" + listener.Addr().String() + "/v1/feed?chat=c:3")
	did(t, err)
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	if text := <-stack; !strings.Contains(text, "eventStream).serve(") || strings.Contains(text, "serveEvents(") || strings.Contains(text, "Middleware") {
		t.Errorf("the feed waits at\n%s", text)
	}
	<-feeds.take(t).closed
}
