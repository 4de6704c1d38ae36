package connect_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	v1 "chatcore/gen/chatcore/v1"
)

// TestTicket_IsNeverLogged uses tickets rightly and wrongly behind a server that logs everything: neither its log nor an error has one.
func TestTicket_IsNeverLogged(t *testing.T) {
	lines := &logText{}
	logger := slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	core, err := chatcore.NewInMemory(chatcore.Config{Logger: logger})
	did(t, err)
	t.Cleanup(func() { did(t, core.Close()) })
	handler, err := connect.New(core, connect.Config{Logger: logger})
	did(t, err)
	authenticator, err := auth.New(auth.Config{Sessions: core.Sessions, Local: true, OnError: connect.OnAuthError(logger)})
	did(t, err)
	s, err := server.New(server.Config{Handler: authenticator.Middleware(handler), Probes: server.NewProbes(core.Ready, logger), Logger: logger})
	did(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	did(t, err)
	serving, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve(serving, listener) }()
	t.Cleanup(func() { stop(); did(t, <-served) })

	w := &world{core: core, url: "http://" + listener.Addr().String()}
	chat := w.chat(t)
	responses, err := transports(t)[0].call(t.Context(), w.url, methodNamed(t, "chatcore.v1.FeedService.CreateFeedTicket"), &v1.CreateFeedTicketRequest{ActorId: "ada"}, http.Header{})
	did(t, err)
	created, _ := responses[0].(*v1.CreateFeedTicketResponse)
	ticket := created.GetTicket()
	f := w.events(t, "chat="+chat+"&ticket="+ticket, http.Header{})
	f.close()
	var texts []string
	for _, query := range []string{"chat=" + chat + "&ticket=" + ticket, "ticket=" + ticket + "&ticket=" + ticket, "ticket=" + ticket + "&chat=%zz", "ticket=" + ticket + ";", "x=1&ticket=" + ticket} {
		refused, _ := w.refusedEvents(t, query, http.Header{})
		if refused == nil {
			t.Fatalf("%s is not refused", query)
		}
		texts = append(texts, refused.Error())
	}
	f, err = openEvents(t.Context(), w.client(t), w.url+"/v1/feed?chat="+chat, http.Header{})
	did(t, err)
	stop()
	for err == nil {
		_, err = f.next()
	}
	f.close()
	if all := strings.Join(append(texts, lines.String()), "\n"); strings.Contains(all, ticket) || !strings.Contains(all, "path=/v1/feed") {
		t.Errorf("the log and the errors are\n%s", all)
	}
}
