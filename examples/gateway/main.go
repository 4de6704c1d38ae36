// Command gateway routes live events to the connected members of each chat, as server-sent events over HTTP. It runs on an embedded Redis, or on that
// of REDIS_URL.
//
// Live events arrive at most once. A client that reconnects reads the messages that it missed from the history: their seqs show the gap.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"chatcore"
	"chatcore/domain"
	"chatcore/examples/internal/demo"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// hub holds the connections of this process, by user.
type hub struct {
	core  *chatcore.Core
	mu    sync.Mutex
	conns map[domain.UserID]map[chan []byte]struct{}
}

// forward sends an event to the connections of the chat's members. A full connection misses the event: it must not delay others.
func (h *hub) forward(ctx context.Context, chat domain.ChatID, event any) {
	text, err := json.Marshal(event)
	if err != nil {
		return
	}
	h.mu.Lock()
	users := make([]domain.UserID, 0, len(h.conns))
	for user := range h.conns {
		users = append(users, user)
	}
	h.mu.Unlock()
	for _, user := range users {
		if member, err := h.core.Queries.Member(ctx, chat, user); err != nil || !member.Current() {
			continue
		}
		h.mu.Lock()
		for conn := range h.conns[user] {
			select {
			case conn <- text:
			default:
			}
		}
		h.mu.Unlock()
	}
}

// ServeHTTP streams the events of a user. A real gateway takes the user from a session, see [chatcore.Core].Sessions.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const buffer = 64
	user, conn := domain.UserID(r.URL.Query().Get("user")), make(chan []byte, buffer)
	h.mu.Lock()
	if h.conns[user] == nil {
		h.conns[user] = make(map[chan []byte]struct{})
	}
	h.conns[user][conn] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.conns[user], conn)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	_ = flush()
	for {
		select {
		case text := <-conn:
			if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func run(ctx context.Context, out io.Writer) error {
	core, done, err := demo.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = done() }()
	h := &hub{core: core, conns: make(map[domain.UserID]map[chan []byte]struct{})}
	err = core.Listen(
		chatcore.OnLive(func(ctx context.Context, l chatcore.Live[domain.MessageNew]) {
			h.forward(ctx, l.Event.Chat, map[string]any{"chat": l.Event.Chat, "from": l.Event.Sender, "text": l.Event.Content})
		}),
		chatcore.OnLive(func(ctx context.Context, l chatcore.Live[domain.TypingStart]) {
			h.forward(ctx, l.Event.Chat, map[string]any{"chat": l.Event.Chat, "typing": l.Event.User})
		}))
	if err != nil {
		return err
	}
	if err := core.Start(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	return converse(ctx, core, "http://"+listener.Addr().String(), out)
}

// converse connects ben, who is a member, and eve, who is not, and has ada write.
func converse(ctx context.Context, core *chatcore.Core, address string, out io.Writer) error {
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ben, err := connect(ctx, address, "ben")
	if err != nil {
		return err
	}
	eve, err := connect(ctx, address, "eve")
	if err != nil {
		return err
	}
	if _, err := core.Chats.StartTyping(ctx, domain.Typing{Chat: "garden", Actor: "ada"}); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ben:", <-ben); err != nil {
		return err
	}
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", Content: "The tomatoes are ripe."}); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ben:", <-ben); err != nil {
		return err
	}
	select {
	case text := <-eve:
		return fmt.Errorf("eve is not a member and received %s", text)
	default:
		return nil
	}
}

// connect opens the event stream of a user, and returns its events.
func connect(ctx context.Context, address string, user domain.UserID) (<-chan string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?user="+url.QueryEscape(string(user)), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(errors.New(response.Status), response.Body.Close())
	}
	events := make(chan string, 16)
	go func() {
		defer func() { _ = response.Body.Close() }()
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events <- text
			}
		}
	}()
	return events, nil
}
