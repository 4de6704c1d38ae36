package connect_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func withToken(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// TestFeed_EndsWithItsSession ends sessions in every way: their feeds end, over every protocol, and those of other sessions of the user go on.
func TestFeed_EndsWithItsSession(t *testing.T) {
	ways := map[string]func(t *testing.T, w *world, s app.OpenedSession){
		"closed": func(t *testing.T, w *world, s app.OpenedSession) {
			did(t, w.core.Sessions.Close(t.Context(), s.User, s.ID))
		},
		"all closed": func(t *testing.T, w *world, s app.OpenedSession) {
			_, err := w.core.Sessions.CloseAll(t.Context(), s.User)
			did(t, err)
		},
		"rotated": func(t *testing.T, w *world, s app.OpenedSession) {
			_, err := w.core.Sessions.Rotate(t.Context(), s.Token)
			did(t, err)
		},
	}
	run := func(t *testing.T, w *world) {
		chat := w.chat(t)
		for _, c := range feedClients(t) {
			for way, end := range ways {
				t.Run(c.name+"/"+way, func(t *testing.T) {
					t.Parallel()
					s, other := w.session(t), w.session(t)
					for _, user := range []domain.UserID{s.User, other.User} {
						_, err := w.core.Chats.Add(t.Context(), domain.Add{Chat: domain.ChatID(chat), Actor: "ada", User: user})
						did(t, err)
					}
					f, stays := c.opened(t, w, oneChat(chat), withToken(string(s.Token))), c.opened(t, w, oneChat(chat), withToken(string(other.Token)))
					end(t, w, s)
					endsWith(t, f, "unauthenticated", "credential_ended", false)
					message := w.message(t, chat)
					for {
						m, err := stays.next()
						if err != nil {
							t.Fatal(err)
						}
						if m.GetEvent().GetMessageNew().GetMessageId() == message {
							break
						}
					}
				})
			}
		}
	}
	t.Run("memory", func(t *testing.T) { run(t, memoryWorld(t, worldConfig{})) })
	ways["deleted by another program"] = func(t *testing.T, _ *world, s app.OpenedSession) {
		client := redistest.Shared(t).Client(t)
		defer func() { _ = client.Close() }()
		keys := client.Keys(t.Context(), "*session:"+string(s.User)+":*").Val()
		if len(keys) == 0 {
			t.Fatal("the session has no record")
		}
		did(t, client.Del(t.Context(), keys...).Err())
	}
	t.Run("redis", func(t *testing.T) { run(t, redisWorld(t, worldConfig{})) })
	compat := worldConfig{}
	compat.core.Sessions.Compat = true
	ways = map[string]func(t *testing.T, w *world, s app.OpenedSession){"closed": ways["closed"], "rotated": ways["rotated"]}
	t.Run("redis in compat mode", func(t *testing.T) { run(t, redisWorld(t, compat)) })
}

func did(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFeed_ChecksAreNoUse lets a session that only has a feed reach its idle time.
func TestFeed_ChecksAreNoUse(t *testing.T) {
	c := worldConfig{}
	c.core.Sessions.Idle = 3 * time.Second
	for name, w := range map[string]*world{"memory": memoryWorld(t, c), "redis": redisWorld(t, c)} {
		chat := w.chat(t)
		f := feedClients(t)[0].opened(t, w, oneChat(chat), withToken(w.token(t, "bob")))
		t.Log(name)
		endsWith(t, f, "unauthenticated", "credential_ended", false)
	}
}

// TestFeed_StaysWhileRedisIsSilent freezes Redis during checks of sessions: the feed stays, and goes on afterwards.
func TestFeed_StaysWhileRedisIsSilent(t *testing.T) {
	server := redistest.Start(t)
	c := worldConfig{}
	c.core.Redis.URL, c.core.Redis.CommandTimeout = server.URL(), time.Second
	lines := &logText{}
	c.api.Logger = slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := redisWorld(t, c)
	chat := w.chat(t)
	f := feedClients(t)[0].opened(t, w, oneChat(chat), withToken(w.token(t, "bob")))
	server.Freeze()
	wait.Until(t, "checks fail", func() bool { return strings.Count(lines.String(), "sessions of streams not checked") >= 2 })
	server.Thaw()
	var message string
	wait.Until(t, "a message is sent", func() bool {
		message = w.id("message")
		_, err := w.core.Chats.Send(t.Context(), domain.Send{Chat: domain.ChatID(chat), Actor: "ada", MessageID: domain.MessageID(message), Content: "x"})
		return err == nil
	})
	for {
		m, err := f.next()
		did(t, err)
		if m.GetEvent().GetMessageNew().GetMessageId() == message {
			return
		}
	}
}

// TestFeed_EndsWithItsToken lets JWTs and service tokens expire, and removes service tokens from the tokens file, or a scope from them.
func TestFeed_EndsWithItsToken(t *testing.T) {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	did(t, err)
	t.Cleanup(func() { did(t, core.Close()) })
	_, err = core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"})
	did(t, err)
	g := &guarded{t: t, core: core}
	jwts := g.jwts()
	file := filepath.Join(t.TempDir(), "tokens.json")
	token := func(id string, expires time.Time) string {
		text, entry, err := auth.NewServiceToken(id, auth.AllScopes())
		did(t, err)
		entry.Expires = expires
		did(t, auth.EditTokensFile(file, func(all []auth.TokenEntry) ([]auth.TokenEntry, error) { return append(all, entry), nil }))
		return string(text)
	}
	soon := time.Now().Add(3 * time.Second)
	removed, narrowed, expiring, stays := token("removed", time.Time{}), token("narrowed", time.Time{}), token("expiring", soon), token("stays", time.Time{})
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{File: file, Poll: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	did(t, err)
	authenticator, err := auth.New(auth.Config{Tokens: tokens, Sessions: core.Sessions, JWT: jwts, OnError: connect.OnAuthError(nil)})
	did(t, err)
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var ended sync.WaitGroup
	ended.Go(func() { authenticator.Run(running) })
	t.Cleanup(func() { stop(); ended.Wait() })
	handler, err := connect.New(core, connect.Config{})
	did(t, err)
	server := httptest.NewServer(authenticator.Middleware(handler))
	t.Cleanup(server.Close)
	w := &world{core: core, url: server.URL}
	open := func(token string) feedReader { return feedClients(t)[4].opened(t, w, oneChat("c"), withToken(token)) }
	ending := map[string]feedReader{"removed": open(removed), "narrowed": open(narrowed), "an expiring token": open(expiring), "an expiring JWT": open(g.sign("ada", soon))}
	other := open(stays)
	did(t, auth.EditTokensFile(file, func(all []auth.TokenEntry) ([]auth.TokenEntry, error) {
		for i := range all {
			if all[i].ID == "narrowed" {
				all[i].Scopes = auth.Scopes{auth.ScopePresence}
			}
		}
		return all[1:], nil
	}))
	for name, f := range ending {
		t.Log(name)
		endsWith(t, f, "unauthenticated", "credential_ended", false)
	}
	_, err = core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"})
	did(t, err)
	for {
		m, err := other.next()
		did(t, err)
		if m.GetEvent().GetMessageNew().GetMessageId() == "m" {
			break
		}
	}
	// Within the leeway of JWTs a call may begin, and no feed.
	leeway, err := feedClients(t)[0].open(t.Context(), server.URL, oneChat("c"), withToken(g.sign("ada", time.Now().Add(-2*time.Second))))
	did(t, err)
	t.Cleanup(leeway.close)
	endsWith(t, leeway, "unauthenticated", "credential_ended", false)
}

// ticket returns a ticket of a caller.
func (g *guarded) ticket(token, actor string) string {
	g.t.Helper()
	request := object{}
	if actor != "" {
		request["actor_id"] = actor
	}
	got := g.call(apiMethods()["chatcore.v1.FeedService.CreateFeedTicket"], token, request)
	var response struct{ Ticket string }
	decodeJSON(g.t, got.body, &response)
	if response.Ticket == "" {
		g.t.Fatalf("%d %s", got.status, got.body)
	}
	return response.Ticket
}

// TestTicket opens feeds with tickets of every kind of caller. Each may be used once, and as its caller only.
func TestTicket(t *testing.T) {
	g := newGuarded(t)
	p := g.newPlace()
	w := &world{core: g.core, url: g.url}
	reads := func(query string) string {
		f, err := openEvents(t.Context(), g.client, g.url+"/v1/feed?"+query, nil)
		if r, ok := errorAs[*refusal](err); ok {
			return r.code.String()
		}
		did(t, err)
		defer f.close()
		for {
			if m, err := f.next(); err != nil {
				return err.Error()
			} else if endsTest(m) {
				return "ok"
			}
		}
	}
	session := p.login(p.member())
	chat := "&chat=" + p.chat + ":0"
	for who, c := range map[string]struct{ token, actor string }{
		"a session": {session.token, ""}, "a JWT": {g.sign(p.member(), time.Now().Add(time.Hour)), p.member()}, "a service": {g.services["all"], ""}, "a service for a user": {g.services["all"], p.member()},
	} {
		ticket := g.ticket(c.token, c.actor)
		if got := reads("ticket=" + ticket + chat); got != "ok" {
			t.Errorf("%s: %s", who, got)
		}
		if got := reads("ticket=" + ticket + chat); got != "unauthenticated" {
			t.Errorf("%s, again: %s", who, got)
		}
	}
	for what, c := range map[string]struct{ query, want string }{
		"of an outsider":             {"ticket=" + g.ticket(p.login(p.outsider()).token, "") + chat, "not_found"},
		"for an outsider":            {"ticket=" + g.ticket(g.services["all"], p.outsider()) + chat, "not_found"},
		"of a user for another":      {"ticket=" + g.ticket(session.token, "") + chat + "&actor_id=" + p.owner(), "permission_denied"},
		"for a user, as another":     {"ticket=" + g.ticket(g.services["all"], p.outsider()) + chat + "&actor_id=" + p.owner(), "permission_denied"},
		"for a user, all chats":      {"ticket=" + g.ticket(g.services["all"], p.member()) + "&all_chats=true", "ok"},
		"unknown":                    {"ticket=NONE" + chat, "unauthenticated"},
		"empty":                      {"ticket=" + chat, "unauthenticated"},
		"long":                       {"ticket=" + strings.Repeat("x", 5000) + chat, "unauthenticated"},
		"none":                       {chat, "unauthenticated"},
		"used up by a wrong request": {"ticket=" + g.ticket(session.token, "") + "&chat=", "invalid_argument"},
	} {
		if got := reads(c.query); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	ended := g.ticket(session.token, "")
	did(t, g.core.Sessions.Close(t.Context(), domain.UserID(p.member()), domain.SessionID(session.id)))
	if got := reads("ticket=" + ended + chat); got != "unauthenticated" {
		t.Errorf("of a closed session: %s", got)
	}
	expired := g.ticket(g.sign(p.member(), time.Now().Add(-time.Second)), "") // within the leeway
	if got := reads("ticket=" + expired + chat); got != "unauthenticated" {
		t.Errorf("of an expired JWT: %s", got)
	}
	both := withToken(p.login(p.member()).token)
	if refused, _ := w.refusedEvents(t, "ticket="+g.ticket(both.Get("Authorization")[7:], "")+chat, both); refused == nil || refused.detail.GetField() != "ticket" {
		t.Errorf("beside a header: %v", refused)
	}
	raced := g.ticket(g.services["all"], "")
	opened := make(chan string, 16)
	var racing sync.WaitGroup
	for range cap(opened) {
		racing.Go(func() { opened <- reads("ticket=" + raced + chat) })
	}
	racing.Wait()
	close(opened)
	n := 0
	for got := range opened {
		if got == "ok" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d concurrent requests have used one ticket", n)
	}
}

// TestTicket_FeedEndsWithTheSession opens a feed by a ticket, and closes the session that the ticket was made with.
func TestTicket_FeedEndsWithTheSession(t *testing.T) {
	g := newGuarded(t)
	p := g.newPlace()
	l := p.login(p.member())
	f, err := openEvents(t.Context(), g.client, g.url+"/v1/feed?chat="+p.chat+"&ticket="+g.ticket(l.token, ""), nil)
	did(t, err)
	t.Cleanup(f.close)
	did(t, g.core.Sessions.Close(t.Context(), domain.UserID(p.member()), domain.SessionID(l.id)))
	endsWith(t, f, "unauthenticated", "credential_ended", false)
}

// TestTicket_Kept checks what Redis has of a ticket: not itself, and for 30 seconds at most.
func TestTicket_Kept(t *testing.T) {
	server := redistest.Start(t)
	c := worldConfig{}
	c.core.Redis.URL = server.URL()
	w := redisWorld(t, c)
	responses, err := transports(t)[0].call(t.Context(), w.url, methodNamed(t, "chatcore.v1.FeedService.CreateFeedTicket"), &v1.CreateFeedTicketRequest{ActorId: "ada"}, http.Header{})
	did(t, err)
	ticket, _ := responses[0].(*v1.CreateFeedTicketResponse)
	client := server.Client(t)
	t.Cleanup(func() { _ = client.Close() })
	keys := client.Keys(t.Context(), "*cc:feed:*").Val()
	if len(keys) != 1 {
		t.Fatalf("the keys are %q", keys)
	}
	value, ttl := client.Get(t.Context(), keys[0]).Val(), client.PTTL(t.Context(), keys[0]).Val()
	if strings.Contains(keys[0]+value, ticket.GetTicket()) || ttl > 30*time.Second || ttl <= 0 {
		t.Errorf("%s has %s for %v", keys[0], value, ttl)
	}
}

// TestEvents_Access opens feeds of server-sent events as every principal.
func TestEvents_Access(t *testing.T) {
	g := newGuarded(t)
	p := g.newPlace()
	code := func(token, chat string) (string, answer) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/v1/feed?chat="+chat+":0", nil)
		did(t, err)
		if token != "" {
			r.Header = withToken(token)
		}
		response, err := g.client.Do(r)
		did(t, err)
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusOK {
			return "", answer{}
		}
		body, err := io.ReadAll(response.Body)
		did(t, err)
		return codeOf(body), answer{status: response.StatusCode, header: response.Header, body: body}
	}
	for who, c := range map[string]struct{ token, want string }{
		"nobody": {"", "unauthenticated"}, "a service without the scope": {g.services["without chats:read"], denied}, "a service": {g.services["all"], ""},
		"a member": {p.login(p.member()).token, ""}, "a member with a JWT": {g.sign(p.member(), time.Now().Add(time.Hour)), ""},
		"an admin": {p.login(p.admin()).token, ""}, "a former member": {p.login(p.former()).token, ""}, "an outsider": {p.login(p.outsider()).token, absent},
	} {
		if got, a := code(c.token, p.chat); got != c.want {
			t.Errorf("%s: %q, want %q: %s", who, got, c.want, a.body)
		}
	}
	for who, invalid := range g.invalid {
		if got, _ := code(invalid(p), p.chat); got != "unauthenticated" {
			t.Errorf("%s: %q", who, got)
		}
	}
	outsider, none := p.login(p.outsider()).token, strings.Repeat("z", len(p.chat))
	_, there := code(outsider, p.chat)
	_, missing := code(outsider, none)
	if got, want := there.normal(t, p.chat), missing.normal(t, none); got != want {
		t.Errorf("an outsider gets, of a chat that exists\n%s\nof one that does not\n%s", got, want)
	}
}

// TestFeed_RemovedMember removes a member whose feeds are open: each has the removal, the end of the chat, and no later event.
func TestFeed_RemovedMember(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		for _, c := range feedClients(t) {
			for _, all := range []bool{false, true} {
				chat, second := w.chat(t), w.chat(t)
				req := &v1.WatchRequest{Chats: []*v1.ChatPosition{{ChatId: chat, AfterSeq: proto.Uint32(2)}, {ChatId: second, AfterSeq: proto.Uint32(2)}}}
				if all {
					req.AllChats = true
				}
				f := c.opened(t, w, req, withToken(w.token(t, "bob")))
				before := w.message(t, chat)
				_, err := w.core.Chats.Remove(t.Context(), domain.Remove{Chat: domain.ChatID(chat), Actor: "ada", User: "bob"})
				did(t, err)
				secret, last := w.message(t, chat), w.message(t, second)
				var got []string
				for len(got) == 0 || got[len(got)-1] != last {
					m, err := f.next()
					did(t, err)
					switch e := m.GetEvent(); {
					case e.GetChatId() != "" && e.GetChatId() != chat && e.GetChatId() != second: // of an earlier round
					case e.GetMessageNew().GetMessageId() == secret:
						t.Errorf("%s: an event after the removal", c.name)
					case e.GetMessageNew() != nil:
						got = append(got, e.GetMessageNew().GetMessageId())
					case e.GetChatId() == chat && e.GetChatUpdate().GetUserId() == "bob" && e.GetSeq() > 2:
						got = append(got, "removed")
					case m.GetChatLeft().GetChatId() == chat:
						got = append(got, "left")
					}
				}
				at := func(what string) int {
					for i, g := range got {
						if g == what {
							return i
						}
					}
					return -1
				}
				if at(before) < 0 || at(before) > at("removed") || at("removed") > at("left") || at("left") < 0 {
					t.Errorf("%s, all chats %t: got %q", c.name, all, got)
				}
			}
		}
	})
}

func decodeJSON(t testing.TB, text []byte, v any) {
	t.Helper()
	did(t, json.Unmarshal(text, v))
}
