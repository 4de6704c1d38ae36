// Command gateway serves a chat to its connected members as server-sent events over HTTP, one feed for each connection. It runs on an embedded Redis, or
// on that of REDIS_URL.
//
// A client that reconnects sends the id of its last event, which is a seq, and gets what it missed. The network API has feeds of this kind built in; a
// gateway of your own has its own payloads and logins.
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
	"strconv"
	"strings"
	"time"

	"chatcore"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/examples/internal/demo"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// gateway serves the feeds of a core.
type gateway struct{ core *chatcore.Core }

// ServeHTTP streams the events of a chat to a user. A real gateway takes the user from a session, see [chatcore.Core].Sessions.
func (g gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	position := feed.Position{Chat: domain.ChatID(r.URL.Query().Get("chat"))}
	last, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 32)
	position.Seq, position.Head = domain.Seq(last), err != nil
	f, err := g.core.Feeds.Open(r.Context(), feed.Request{User: domain.UserID(r.URL.Query().Get("user")), Chats: []feed.Position{position}})
	if err != nil { // a non-member gets the error of a chat that does not exist
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	stream := http.NewResponseController(w)
	for {
		_ = stream.Flush()
		m, err := f.Next(r.Context())
		if err != nil { // the client reconnects, and goes on after its last event
			return
		}
		if _, err := io.WriteString(w, frame(m)); err != nil {
			return
		}
	}
}

// frame returns a message as a server-sent event, or as a comment if the client needs to know nothing but that the connection is alive.
func frame(m feed.Message) string {
	payload, id := map[string]any{"chat": m.Chat}, ""
	switch m.Kind {
	case feed.KindEvent:
		sent, is := m.Event.Record.Event.(domain.MessageNew)
		if !is {
			return ":\n\n"
		}
		payload["from"], payload["text"] = sent.Sender, sent.Content
		id = fmt.Sprintf("id: %d\n", m.Event.Record.Seq)
	case feed.KindEphemeral:
		typing, is := m.Ephemeral.Event.(domain.TypingStart)
		if !is {
			return ":\n\n"
		}
		payload["chat"], payload["typing"] = typing.Chat, typing.User
	case feed.KindCaughtUp, feed.KindSkipped, feed.KindChatJoined, feed.KindChatLeft, feed.KindResync, feed.KindHeartbeat:
		return ":\n\n"
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return ":\n\n"
	}
	return id + "data: " + string(text) + "\n\n"
}

func run(ctx context.Context, out io.Writer) error {
	core, done, err := demo.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = done() }()
	if err := core.Start(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: gateway{core}, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	return converse(ctx, core, "http://"+listener.Addr().String(), out)
}

// converse connects ben, who is a member, and eve, who is not, has ada write, and has ben connect again after a message that he missed.
func converse(ctx context.Context, core *chatcore.Core, address string, out io.Writer) error {
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil {
		return err
	}
	connection, hangUp := context.WithCancel(ctx)
	defer hangUp()
	if _, err := connect(connection, address, "eve", ""); err == nil {
		return errors.New("eve is not a member and was served")
	}
	ben, err := connect(connection, address, "ben", "")
	if err != nil {
		return err
	}
	typing, err := typingSeen(ctx, core, ben)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ben:", typing); err != nil {
		return err
	}
	sent, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", Content: "The tomatoes are ripe."})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ben:", messageOf(ben)); err != nil {
		return err
	}
	hangUp()
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", Content: "Who comes on Sunday?"}); err != nil {
		return err
	}
	connection, hangUpAgain := context.WithCancel(ctx)
	defer hangUpAgain()
	if ben, err = connect(connection, address, "ben", fmt.Sprint(sent.Seq)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "ben, again:", messageOf(ben))
	return err
}

// typingSeen has ada type until ben sees it: ephemeral events are given at most once.
func typingSeen(ctx context.Context, core *chatcore.Core, ben <-chan string) (string, error) {
	for {
		if _, err := core.Chats.StartTyping(ctx, domain.Typing{Chat: "garden", Actor: "ada"}); err != nil {
			return "", err
		}
		select {
		case event := <-ben:
			return event, nil
		case <-time.After(time.Second):
		}
	}
}

// messageOf returns the next message, which is given for certain.
func messageOf(ben <-chan string) string {
	event := <-ben
	for strings.Contains(event, `"typing"`) {
		event = <-ben
	}
	return event
}

// connect opens the event stream of a user after the last event that the user has, and returns its events.
func connect(ctx context.Context, address string, user domain.UserID, last string) (<-chan string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?chat=garden&user="+url.QueryEscape(string(user)), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Last-Event-ID", last)
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
