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
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// metered is a log with a proxy that counts round trips and bytes.
type metered struct {
	t      *testing.T
	direct goredis.UniversalClient // is not counted
	filler *eventlog.Log           // is not counted
	keys   keyspace.Keys
	client goredis.UniversalClient // of log
	log    *eventlog.Log
	bytes  atomic.Int64 // sent by the server
}

func newMetered(t *testing.T) *metered {
	t.Helper()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	m := &metered{t: t, direct: rig.Connect(t, server.URL()), client: rig.Connect(t, proxy.URL()), keys: rig.NewKeys(t, 1)}
	m.filler, m.log = rig.Open(t, m.direct, m.keys), rig.Open(t, m.client, m.keys)
	count := func(piece []byte) bool {
		m.bytes.Add(int64(len(piece)))
		return true
	}
	proxy.Reply.Store(&count)
	return m
}

// queries returns queries with empty caches.
func (m *metered) queries() *app.Queries {
	return app.NewQueries(m.log, entity.NewLoader(m.log, nil, 0), projection.Views{})
}

// cost is the cost of one query.
type cost struct{ scripts, lookups, bytes int }

func (m *metered) cost(query func(q *app.Queries) error) cost {
	m.t.Helper()
	before, bytes := redistest.AllCommands(m.t, m.direct), m.bytes.Load()
	if err := query(m.queries()); err != nil {
		m.t.Fatal(err)
	}
	calls := redistest.AllCommands(m.t, m.direct).Since(before)
	return cost{calls["evalsha"], calls["lindex"] + calls["lrange"], int(m.bytes.Load() - bytes)}
}

// fill appends events in large batches.
func (m *metered) fill(c domain.ChatID, events ...domain.Durable) {
	m.t.Helper()
	for len(events) > 0 {
		n := min(500, len(events))
		a := ports.Append{Chat: c}
		for _, e := range events[:n] {
			m.t.Helper()
			a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprintf("e-%p-%d", &a, len(a.Events))), Event: e, Moves: domain.Moves(e)})
		}
		rig.Appended(m.t, m.filler, a)
		events = events[n:]
	}
}

func messageIn(c domain.ChatID, i int) domain.Durable {
	return domain.MessageNew{Chat: c, Message: domain.MessageID(fmt.Sprint("m", i)), Sender: "ada", Content: "hello", At: time.Now()}
}

func receiptIn(c domain.ChatID, user int, seq domain.Seq) domain.Durable {
	return domain.ReadReceipt{Chat: c, User: domain.UserID(fmt.Sprint("user-", user)), Message: "m0", ReadSeq: seq, At: time.Now()}
}

func toggles(c domain.ChatID, m domain.MessageID, n int) (events []domain.Durable) {
	for i := range n {
		events = append(events, domain.MessageReaction{
			Chat: c, Message: m, User: "ben", Emoji: "👍", Action: []domain.ReactionAction{domain.ReactionAdd, domain.ReactionRemove}[i%2], At: time.Now(),
		})
	}
	return events
}

func history(t *testing.T, c domain.ChatID, span domain.Span, want int) func(q *app.Queries) error {
	return func(q *app.Queries) error {
		views, err := q.History(t.Context(), c, span)
		if err == nil && len(views) != want {
			err = fmt.Errorf("%d messages, want %d", len(views), want)
		}
		return err
	}
}

// TestAPageCostsWhatItsMessagesCost compares pages of history with the same pages of a chat without other events between the messages.
func TestAPageCostsWhatItsMessagesCost(t *testing.T) {
	m := newMetered(t)
	created := func(c domain.ChatID) domain.Durable {
		return domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Created, Title: "t", At: time.Now()}
	}
	plain, read, toggled := []domain.Durable{created("plain")}, []domain.Durable{created("read")}, []domain.Durable{created("toggled")}
	for i := range 60 {
		plain = append(plain, messageIn("plain", i))
		read = append(read, messageIn("read", i))
		for user := range 255 {
			read = append(read, receiptIn("read", user, domain.Seq(len(read))))
		}
	}
	reacted := []domain.Durable{created("reacted"), messageIn("reacted", 0), messageIn("reacted", 1)}
	reacted = append(append(reacted, toggles("reacted", "m0", 1)...), toggles("reacted", "m1", 1)...)
	toggled = append(toggled, messageIn("toggled", 0))
	toggled = append(toggled, toggles("toggled", "m0", 15_000)...)
	toggled = append(toggled, messageIn("toggled", 1))
	toggled = append(toggled, toggles("toggled", "m0", 7_501)...)
	toggled = append(toggled, toggles("toggled", "m1", 7_501)...)
	m.fill("plain", plain...)
	m.fill("read", read...)
	m.fill("reacted", reacted...)
	m.fill("toggled", toggled...)
	entities := entity.NewLoader(m.filler, m.filler, 0) // stores the snapshots that the processes of the reactions would store
	for _, id := range []domain.MessageID{"m0", "m1"} {
		if _, err := app.NewQueries(m.filler, entities, projection.Views{}).Message(t.Context(), "toggled", id); err != nil {
			t.Fatal(err)
		}
	}
	wait.Until(t, "snapshots", func() bool { return entities.Stats().SnapshotsPending == 0 })
	entities.Close()
	m.fill("toggled", toggles("toggled", "m0", 201)...)
	middle := domain.Seq(len(read) / 2)
	for _, test := range []struct {
		name     string
		chat     domain.ChatID
		span     domain.Span
		until    domain.Seq
		messages int
		like     domain.ChatID
	}{
		{"the last page between receipts", "read", domain.Span{Limit: 50}, 0, 50, "plain"},
		{"the first page between receipts", "read", domain.Span{First: true, Limit: 50}, 0, 50, "plain"},
		{"before a seq", "read", domain.Span{Before: domain.Seq(len(read) - 100), Limit: 50}, 0, 50, "plain"},
		{"after a seq", "read", domain.Span{After: 100, Limit: 50}, 0, 50, "plain"},
		{"as of a seq", "read", domain.Span{Limit: 20}, middle, 20, "plain"},
		{"forwards as of a seq", "read", domain.Span{First: true, Limit: 20}, middle, 20, "plain"},
		{"between toggles of reactions", "toggled", domain.Span{Limit: 2}, 0, 2, "reacted"},
		{"forwards between toggles of reactions", "toggled", domain.Span{First: true, Limit: 2}, 0, 2, "reacted"},
		{"as of a seq before toggles of reactions", "toggled", domain.Span{Limit: 1}, 2, 1, "plain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			least := m.cost(history(t, test.like, domain.Span{Limit: test.messages}, test.messages))
			got := m.cost(func(q *app.Queries) error { return history(t, test.chat, test.span, test.messages)(q.At(test.until)) })
			t.Logf("%+v; %+v without anything between", got, least)
			if got.scripts > 3 || got.bytes > 2*least.bytes {
				t.Errorf("%+v; want at most 3 scripts and twice the bytes of %+v", got, least)
			}
		})
	}
	t.Run("without anything between", func(t *testing.T) {
		if got := m.cost(history(t, "plain", domain.Span{Limit: 50}, 50)); got.scripts > 2 || got.lookups > 10 {
			t.Errorf("%+v; want at most 2 scripts and 10 reads of lists", got)
		}
	})
	t.Run("an entity with many later events", func(t *testing.T) {
		got := m.cost(func(*app.Queries) error {
			loaded, err := m.log.Load(t.Context(), "toggled", ports.LoadRequest{Entity: domain.ReactionsEntity("m0"), Until: 5})
			if err == nil && loaded.Entities[0].Version != 5 {
				err = fmt.Errorf("it is at version %d, want 5", loaded.Entities[0].Version)
			}
			return err
		})
		if got.scripts > 1 || got.lookups > 60 {
			t.Errorf("%+v; want 1 script and at most 60 reads of lists", got)
		}
	})
	t.Run("unread as of a seq", func(t *testing.T) {
		got := m.cost(func(q *app.Queries) error {
			_, err := q.At(middle).Unread(t.Context(), "read", "ada")
			return err
		})
		t.Logf("%+v", got)
		if got.scripts > 6 || got.bytes > 6000 {
			t.Errorf("%+v; want at most 6 scripts and 6,000 bytes", got)
		}
	})
	t.Run("audit of a user", func(t *testing.T) {
		got := m.cost(func(q *app.Queries) error {
			n := 0
			for _, err := range q.Audit(t.Context(), "read", domain.Audit{User: "user-7"}) {
				if err != nil {
					return err
				}
				n++
			}
			if n != 60 {
				return fmt.Errorf("%d events, want 60", n)
			}
			return nil
		})
		t.Logf("%+v", got)
		if most := 60 * 400; got.bytes > most || got.scripts > len(read)/2000+2 {
			t.Errorf("%+v; want at most %d bytes and a script for each 2,000 events", got, most)
		}
	})
}

// meeting is a hook that holds back the second call of a search for a user until the third one begins.
type meeting struct {
	scripts atomic.Int32
	third   chan struct{}
}

func (m *meeting) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (m *meeting) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (m *meeting) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() == "evalsha" && slices.Contains(cmd.Args(), any("user")) {
			switch m.scripts.Add(1) {
			case 2:
				select {
				case <-m.third:
				case <-time.After(wait.Limit):
					return errors.New("no other call came")
				}
			case 3:
				close(m.third)
			}
		}
		return next(ctx, cmd)
	}
}

// TestSearch_ScansAhead searches for a user with several calls in flight once the first one has found little.
func TestSearch_ScansAhead(t *testing.T) {
	server := redistest.Start(t)
	client := rig.Connect(t, server.URL())
	m := &metered{t: t, direct: client, filler: rig.Open(t, client, rig.NewKeys(t, 1))}
	events := []domain.Durable{domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, Title: "t", At: time.Now()}, messageIn("c", 0)}
	m.fill("c", append(events, toggles("c", "m0", 9_000)...)...)
	hook := &meeting{third: make(chan struct{})}
	client.AddHook(hook)
	page, err := m.filler.Search(t.Context(), "c", ports.Filter{User: "eve"}, ports.Range{From: 1, Limit: 10})
	if err != nil || len(page.Records) > 0 || page.Head != 9_002 {
		t.Errorf("%+v, error %v", page, err)
	}
	if n := hook.scripts.Load(); n != 5 {
		t.Errorf("%d script calls, want 5 for 9,002 events", n)
	}
}
