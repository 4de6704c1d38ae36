package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/view"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// roundTrips counts the round trips of a client: commands and pipelines, except for checks of the servers.
type roundTrips struct{ n atomic.Int64 }

func (r *roundTrips) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (r *roundTrips) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if !slices.Contains([]string{"info", "time", "ping"}, cmd.Name()) {
			r.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (r *roundTrips) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if cmds[0].Name() != "hello" {
			r.n.Add(1)
		}
		return next(ctx, cmds)
	}
}

// listedChats is a list of 50 chats of ada with one message each, in 16 partitions. Every third message was edited and has 10 reactions, every fifth
// was deleted, every seventh replies to another one.
type listedChats struct {
	keys  keyspace.Keys
	log   *eventlog.Log
	views projection.Views
	chats []domain.ChatID
}

func newListedChats(t *testing.T, client goredis.UniversalClient) listedChats {
	t.Helper()
	l := listedChats{keys: rig.NewKeys(t, keyspace.DefaultPartitions)}
	l.log = rig.Open(t, client, l.keys)
	l.views = projection.Views{Log: l.log.ID(), Chats: view.NewUserChats(client, l.keys.Views())}
	for i := range 50 {
		c := domain.ChatID(fmt.Sprint("c", i))
		l.chats = append(l.chats, c)
		at := time.Now().Truncate(time.Millisecond)
		events := []domain.Durable{domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Created, Title: "t", At: at}}
		last := domain.MessageNew{Chat: c, Message: "last", Sender: "ada", Content: "hello", At: at}
		if i%7 == 0 {
			events = append(events, domain.MessageNew{Chat: c, Message: "replied", Sender: "ada", Content: "?", At: at})
			last.ReplyTo = "replied"
		}
		events = append(events, last)
		if i%3 == 0 {
			events = append(events, domain.MessageEdit{Chat: c, Message: "last", Editor: "ada", Content: "edited", Revision: 1, At: at})
			events = append(events, toggles(c, "last", 9)...)
		}
		if i%5 == 0 {
			events = append(events, domain.MessageDelete{Chat: c, Message: "last", By: "ada", At: at})
		}
		a := ports.Append{Chat: c}
		for n, e := range events {
			a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprint(c, "-", n)), Event: e, Moves: domain.Moves(e)})
		}
		rig.Appended(t, l.log, a)
		if err := l.views.Chats.Put(t.Context(), l.log.ID(), ports.ChatEntries{Chat: c, Entries: []ports.UserEntry{{User: "ada", Version: 1, Number: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestChatList_RoundTrips reads a list of 50 chats in 16 partitions by a process with empty caches, and compares the last messages with the history
// of each chat.
func TestChatList_RoundTrips(t *testing.T) {
	server := redistest.Start(t)
	l := newListedChats(t, rig.Connect(t, server.URL()))
	client := rig.Connect(t, server.URL())
	var trips roundTrips
	client.AddHook(&trips)
	log := rig.Open(t, client, l.keys)
	if _, err := app.NewQueries(log, entity.NewLoader(log, nil, 0), l.views).ChatList(t.Context(), "ada"); err != nil { // Redis then has the scripts
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		list func(q *app.Queries) ([]app.ListedChat, error)
		most int64
	}{
		"page": {func(q *app.Queries) ([]app.ListedChat, error) {
			page, err := q.ChatListPage(t.Context(), "ada", domain.Page{Limit: 50})
			return page.Items, err
		}, 5},
		"whole": {func(q *app.Queries) ([]app.ListedChat, error) { return q.ChatList(t.Context(), "ada") }, 6},
	} {
		for _, indexed := range []bool{false, true} {
			most := test.most
			if !indexed { // the list asks the log, and writes the results to each partition
				most += 1 + keyspace.DefaultPartitions
				client.Del(t.Context(), lastKeys(l.keys)...)
			}
			views := l.views
			views.Chats = view.NewUserChats(client, l.keys.Views())
			q := app.NewQueries(log, entity.NewLoader(log, nil, 1<<20), views)
			before := trips.n.Load()
			items, err := test.list(q)
			if took := trips.n.Load() - before; err != nil || len(items) != len(l.chats) || took > most {
				t.Fatalf("%s: %d chats in %d round trips, want %d in %d at most, error %v", name, len(items), took, len(l.chats), most, err)
			}
			for _, chat := range items {
				history, err := q.History(t.Context(), chat.ID, domain.Span{Limit: 1})
				if err != nil || chat.Last == nil || fmt.Sprint(*chat.Last) != fmt.Sprint(history[0]) || chat.Role != domain.RoleOwner || chat.Title != "t" {
					t.Errorf("%s: %+v ends with %+v, want %+v, error %v", name, chat, chat.Last, history, err)
				}
			}
		}
	}
}

func lastKeys(keys keyspace.Keys) (names []string) {
	for _, partition := range keys.Log().Partitions() {
		if partition.Number >= 0 {
			names = append(names, partition.Base+"last")
		}
	}
	return names
}

// TestLoadChats_Faults loads many chats from a server that has lost the scripts, that has another log or values of other types in some places, and
// that is stopped.
func TestLoadChats_Faults(t *testing.T) {
	server := redistest.Start(t)
	client := rig.Connect(t, server.URL())
	l := newListedChats(t, client)
	loads := make([]ports.ChatLoad, len(l.chats))
	for i, c := range l.chats {
		loads[i] = ports.ChatLoad{Chat: c, Wants: []ports.LoadRequest{{Entity: domain.ChatEntity()}}}
	}
	both := func() error {
		t.Helper()
		_, err := l.log.LoadChats(t.Context(), loads...)
		last, lastErr := l.log.LastRecords(t.Context(), l.chats...)
		for _, kind := range []error{ports.ErrCorrupt, ports.ErrLogLost, ports.ErrUnavailable} {
			if errors.Is(err, kind) != errors.Is(lastErr, kind) || (err == nil) != (lastErr == nil) {
				t.Errorf("loads gave the error %v, last messages %v", err, lastErr)
			}
		}
		if err == nil && slices.ContainsFunc(last, func(r ports.Record) bool { return r.Seq == 0 }) {
			t.Errorf("a last message is missing: %v", last)
		}
		return err
	}
	var trips roundTrips
	client.AddHook(&trips)
	client.ScriptFlush(t.Context())
	before := trips.n.Load()
	if err := both(); err != nil || trips.n.Load()-before > 2*4 {
		t.Errorf("without the scripts: %d round trips, error %v", trips.n.Load()-before, err)
	}
	index := prefixOf(l.keys, l.chats[20]) + string(l.chats[20]) + ":x"
	kept := client.Dump(t.Context(), index).Val()
	client.Set(t.Context(), index, "foreign", 0)
	var corrupt *ports.CorruptError
	if err := both(); !errors.As(err, &corrupt) || corrupt.Chat != l.chats[20] {
		t.Errorf("a foreign value: error %v", err)
	}
	client.RestoreReplace(t.Context(), index, 0, kept)
	id := l.keys.Log().ID(l.keys.Partition(l.chats[20]))
	identity := client.Get(t.Context(), id).Val()
	client.Set(t.Context(), id, "another log", 0)
	if err := both(); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("another log in one partition: error %v", err)
	}
	client.Set(t.Context(), id, identity, 0)
	if err := both(); err != nil {
		t.Errorf("mended: error %v", err)
	}
	server.Kill()
	before = trips.n.Load()
	if err := both(); !errors.Is(err, ports.ErrUnavailable) || trips.n.Load()-before > 2*3 {
		t.Errorf("without the server: %d round trips, error %v", trips.n.Load()-before, err)
	}
}

// prefixOf returns the prefix of a chat's keys.
func prefixOf(keys keyspace.Keys, c domain.ChatID) string {
	id := keys.Log().ID(keys.Partition(c))
	return id[:len(id)-len("id")]
}
