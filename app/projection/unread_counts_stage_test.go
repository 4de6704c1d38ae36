package projection_test

import (
	"context"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// watched is a log that counts its calls, and that can run a function before the next one or make it fail.
type watched struct {
	*memory.Log
	mu      sync.Mutex // mu guards: calls, loaded, while several goroutines call
	calls   int
	loaded  int    // entities
	counted int    // users
	before  func() // the next count
	unknown bool   // of every user the caller must load the count
	failing error
}

// called counts a call that loads so many entities.
func (w *watched) called(entities int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	w.loaded += entities
}

func (w *watched) Load(ctx context.Context, c domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	w.called(len(wants))
	if w.failing != nil {
		return ports.Loaded{}, w.failing
	}
	return w.Log.Load(ctx, c, wants...)
}

func (w *watched) Read(ctx context.Context, c domain.ChatID, r ports.Range) (ports.Page, error) {
	w.called(0)
	return w.Log.Read(ctx, c, r)
}

func (w *watched) Count(ctx context.Context, c domain.ChatID, after ...domain.Seq) ([]ports.MessageCount, error) {
	w.called(0)
	if before := w.before; before != nil {
		w.before = nil
		before()
	}
	return w.Log.Count(ctx, c, after...)
}

func (w *watched) CountMembers(ctx context.Context, requests ...ports.CountRequest) ([]ports.MemberCounts, error) {
	w.called(0)
	if w.failing != nil {
		return nil, w.failing
	}
	if before := w.before; before != nil {
		w.before = nil
		before()
	}
	counts, err := w.Log.CountMembers(ctx, requests...)
	for _, c := range counts {
		w.counted += len(c.Users)
		for i := range c.Users {
			if w.unknown {
				c.Users[i].UnreadCount = ports.UnreadCount{}
			}
		}
	}
	return counts, err
}

func (w *watched) Members(ctx context.Context, c domain.ChatID) iter.Seq2[domain.UserID, error] {
	w.called(0)
	return w.Log.Members(ctx, c)
}

// broken is a view that can be made to fail.
type broken struct {
	*memory.UserView
	failing error
	refuse  map[domain.ChatID]error
	mu      sync.Mutex // mu guards: calls, puts, while several goroutines put
	calls   int
	puts    int                               // entries
	last    map[domain.UserID]ports.UserEntry // with the greatest version
}

func (b *broken) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	b.mu.Lock()
	b.calls++
	for _, p := range puts {
		b.puts += len(p.Entries)
		for _, e := range p.Entries {
			if e.Version > b.last[e.User].Version {
				b.last[e.User] = e
			}
		}
	}
	b.mu.Unlock()
	for _, p := range puts {
		if err := b.refuse[p.Chat]; err != nil {
			return err
		}
	}
	if b.failing != nil {
		return b.failing
	}
	return b.UserView.Put(ctx, log, puts...)
}

// keptHere is how many members a chat has at most for its counts to be kept.
const keptHere = 256

// counting is the projection of one chat, fed by hand.
type counting struct {
	t        *testing.T
	log      *watched
	chats    *app.Chats
	view     *broken
	entities *entity.Loader
	models   *projection.Models
	queries  *app.Queries
	counts   *projection.UnreadCounts
	fed      domain.Seq
}

func newCounting(t *testing.T) *counting {
	clock := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := &counting{t: t, view: &broken{UserView: memory.NewUserView(), last: map[domain.UserID]ports.UserEntry{}}}
	c.on(memory.New(wireformat.New(), clock, nil))
	c.chats = app.NewChats(c.log.Log, entity.NewLoader(c.log.Log, c.log.Log, 1<<20), silent{}, c.log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	return c
}

// on has another log to go by.
func (c *counting) on(log *memory.Log) {
	c.log = &watched{Log: log}
	c.restart()
}

// restart begins another process.
func (c *counting) restart() {
	c.entities = entity.NewLoader(c.log, c.log, 1<<20)
	views := projection.Views{Log: "log", Chats: c.view.UserView, Unread: c.view}
	c.models, c.queries = projection.NewModels(c.log, c.entities, views), app.NewQueries(c.log, c.entities, views)
	c.counts = projection.NewUnreadCounts(c.models).Small(keptHere, 1<<17)
}

func (c *counting) did(_ any, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *counting) create(members ...domain.UserID) {
	c.t.Helper()
	c.did(c.chats.Create(c.t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: members}))
}

func (c *counting) send(by domain.UserID, id domain.MessageID) {
	c.t.Helper()
	c.did(c.chats.Send(c.t.Context(), domain.Send{Chat: "c", Actor: by, MessageID: id, Content: "x"}))
}

func (c *counting) read(by domain.UserID, id domain.MessageID) {
	c.t.Helper()
	c.did(c.chats.MarkRead(c.t.Context(), domain.MarkRead{Chat: "c", Actor: by, MessageID: id, AwaitRecorded: true}))
}

func (c *counting) add(user domain.UserID) {
	c.t.Helper()
	c.did(c.chats.Add(c.t.Context(), domain.Add{Chat: "c", Actor: "ann", User: user}))
}

func (c *counting) leave(user domain.UserID) {
	c.t.Helper()
	c.did(c.chats.Leave(c.t.Context(), domain.Leave{Chat: "c", Actor: user}))
}

func (c *counting) record(seq domain.Seq) (ports.Record, bool) {
	page, err := c.log.Log.Read(c.t.Context(), "c", ports.Range{From: seq, Limit: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(page.Records) == 0 {
		return ports.Record{}, false
	}
	return page.Records[0], true
}

func (c *counting) handle(seq domain.Seq) error {
	r, _ := c.record(seq)
	return c.counts.Handle(c.t.Context(), ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: "c", Seq: seq, Event: r.ID}, Event: r.Event})
}

// feed delivers the events not yet delivered, without the last n.
func (c *counting) feed(but domain.Seq) {
	c.t.Helper()
	for {
		if _, more := c.record(c.fed + 1 + but); !more {
			return
		}
		if err := c.handle(c.fed + 1); err != nil {
			c.t.Fatal(err)
		}
		c.fed++
	}
}

func (c *counting) kept(user domain.UserID, want ...uint64) {
	c.t.Helper()
	got, err := c.view.Of(c.t.Context(), "log", user)
	expected := map[domain.ChatID]uint64{}
	if len(want) > 0 {
		expected["c"] = want[0]
	}
	if err != nil || !maps.Equal(got, expected) {
		c.t.Errorf("kept of %q is %v, error %v, want %v", user, got, err, expected)
	}
}
