package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"chatcore"
	"chatcore/domain"
	"chatcore/embedded"
)

func embeddedCore(t *testing.T) *chatcore.Core {
	t.Helper()
	server, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return core
}

// TestSeedSamples_OfAnEmptyLog writes chats with members, edits, deletions, reactions and unread messages, once, and none that the documentation creates.
func TestSeedSamples_OfAnEmptyLog(t *testing.T) {
	core := embeddedCore(t)
	for round, want := range []bool{true, false} {
		if seeded, err := seedSamples(t.Context(), core); err != nil || seeded != want {
			t.Fatalf("round %d: %v, %v", round, seeded, err)
		}
	}
	messages, err := core.Queries.History(t.Context(), "hike", domain.Span{First: true, Limit: 100})
	if err != nil || len(messages) != 11 {
		t.Fatalf("%d messages: %v", len(messages), err)
	}
	edited, deleted, reactions, replies := 0, 0, 0, 0
	for i, m := range messages {
		edited, reactions = edited+m.Revision, reactions+len(m.Reactions)
		if !m.DeletedAt.IsZero() {
			deleted++
		}
		if m.ReplyTo != "" {
			replies++
		}
		if i > 0 && m.SentAt.Before(messages[i-1].SentAt) {
			t.Errorf("%s was sent before %s", m.ID, messages[i-1].ID)
		}
	}
	if edited == 0 || deleted == 0 || reactions == 0 || replies == 0 {
		t.Errorf("%d edits, %d deletions, %d reactions, %d replies", edited, deleted, reactions, replies)
	}
	for user, chat := range map[domain.UserID]domain.ChatID{"ada": "release", "ben": "books"} {
		if unread, err := core.Queries.Unread(t.Context(), chat, user); err != nil || unread == 0 {
			t.Errorf("%s has %d unread in %s: %v", user, unread, chat, err)
		}
	}
	if _, err := core.Queries.Chat(t.Context(), "garden"); err == nil {
		t.Error("the chat of the README exists")
	}
}

// TestSeedSamples_NotBesideOthers writes nothing into a log that has a chat.
func TestSeedSamples_NotBesideOthers(t *testing.T) {
	core := embeddedCore(t)
	if _, err := core.Chats.Create(t.Context(), domain.Create{Chat: "mine", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if seeded, err := seedSamples(t.Context(), core); err != nil || seeded {
		t.Errorf("%v, %v", seeded, err)
	}
	if _, err := core.Queries.Chat(t.Context(), "hike"); err == nil {
		t.Error("a sample was written")
	}
}

// TestServe_Console serves the console at the root of the API, with sample chats on an embedded log, unless a setting leaves it out.
func TestServe_Console(t *testing.T) {
	get := func(url string) (status int, body string) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	defer http.DefaultClient.CloseIdleConnections()
	for _, on := range []bool{true, false} {
		s := &shell{t: t}
		args := []string{"serve", "--embedded", "--listen", "127.0.0.1:0"}
		if !on {
			args = append(args, "--console=false")
		}
		out, errs, stop := s.follow(args...)
		url := apiURL(t, out)
		if status, body := get(url + "/"); (status == http.StatusOK && strings.Contains(body, "<!doctype html>")) != on {
			t.Errorf("console %v: %d %.80s", on, status, body)
		}
		status, body := get(url + `/chatcore.v1.ChatService/GetChat?connect=v1&encoding=json&message=%7B%22chat_id%22:%22hike%22%7D`)
		if (status == http.StatusOK) != on {
			t.Errorf("console %v: the sample chat: %d %.200s", on, status, body)
		}
		if strings.Contains(errs.String(), "level=WARN") {
			t.Errorf("it logs\n%s", errs.String())
		}
		stop()
	}
}
