package chaos

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	"chatcore/tests/feedreader"
	"chatcore/tests/wait"
)

// feeds are the readers of feeds among the audience. Two cores serve them, and they go from one to the other.
type feeds struct {
	core    *chatcore.Core // one of them
	readers []*feedreader.Reader
}

// serveFeeds serves cores, and starts readers: of a chat of each author, and of all chats of the owner.
func serveFeeds(t *testing.T, a *audience, scripts []*script, cores ...*chatcore.Core) *feeds {
	t.Helper()
	token, entry, err := auth.NewServiceToken("audience", auth.AllScopes())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	if err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, core := range cores {
		urls = append(urls, serveCore(t, core, tokens))
	}
	named := make(map[domain.ChatID]feedreader.Position)
	for i := range authors {
		named[roomOf(scripts[i%len(scripts)], i)] = feedreader.Position{Known: true}
	}
	f := &feeds{core: cores[0]}
	for i, c := range []feedreader.Config{
		{Name: "named", Protocol: feedreader.Connect, Chats: named},
		{Name: "all", Protocol: feedreader.GRPC, AllChats: true, Actor: owner},
		{Name: "all events", Protocol: feedreader.ServerEvents, AllChats: true, Actor: owner},
	} {
		c.Instances = func() []string { return slices.Concat(urls[i%len(urls):], urls[:i%len(urls)]) }
		c.Token = func(context.Context, string) (string, error) { return string(token), nil }
		r := feedreader.New(c)
		f.readers = append(f.readers, r)
		a.done.Go(func() { r.Run(a.ctx) })
	}
	t.Cleanup(a.finish) // before the servers are closed, which wait for their connections
	return f
}

func serveCore(t *testing.T, core *chatcore.Core, tokens *auth.ServiceTokens) (url string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	handler, err := connect.New(core, connect.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Tokens: tokens, Sessions: core.Sessions, OnError: connect.OnAuthError(quiet)})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(authenticator.Middleware(handler))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// endFeeds closes the connections of some readers, which resume elsewhere.
func (f *feeds) endFeeds() attack {
	return attack{"end feeds", func(d dice) (string, func()) {
		r := f.readers[d.IntN(len(f.readers))]
		r.Disconnect()
		return r.Name(), nil
	}}
}

// settled waits until each feed has everything that the log has, and returns the feeds. It goes on after a while without: the checker has the last word.
func (f *feeds) settled(t *testing.T, log map[domain.ChatID][]Logged) (all []Feed) {
	t.Helper()
	limit := time.Now().Add(wait.Limit)
	for _, r := range f.readers {
		c := r.Config()
		fed := Feed{Reader: c.Name, All: c.AllChats, Begin: c.Chats}
		for behind := true; behind && time.Now().Before(limit); {
			_ = pause(t.Context(), 20*time.Millisecond)
			fed.Chats = slices.Sorted(maps.Keys(c.Chats))
			if c.AllChats {
				var err error
				if fed.Chats, err = f.core.Queries.ChatsOf(t.Context(), owner); err != nil {
					continue
				}
			}
			positions := r.Positions()
			behind = slices.ContainsFunc(fed.Chats, func(chat domain.ChatID) bool {
				p, known := positions[chat]
				return !known || p.Left || p.Seq != domain.Seq(len(log[chat])) //nolint:gosec // small
			})
		}
		for _, m := range r.Messages() {
			f := Fed{Message: m}
			if m.Event != nil {
				f.Content, f.Event = wordsOf(m.Event), nil
				var err error
				if f.Decided, err = decided(m.ID); err != nil {
					t.Error(err)
				}
			}
			fed.Messages = append(fed.Messages, f)
		}
		all = append(all, fed)
	}
	return all
}
