package projection_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/foldcheck"
)

// meddled is a log on which things happen while it is read.
type meddled struct {
	*memory.Log
	meddle  func()
	unknown map[domain.UserID]bool // whose counts the caller must load
}

func (m *meddled) Load(ctx context.Context, c domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	m.meddle()
	return m.Log.Load(ctx, c, wants...)
}

func (m *meddled) Read(ctx context.Context, c domain.ChatID, r ports.Range) (ports.Page, error) {
	m.meddle()
	return m.Log.Read(ctx, c, r)
}

func (m *meddled) Count(ctx context.Context, c domain.ChatID, after ...domain.Seq) ([]ports.MessageCount, error) {
	m.meddle()
	return m.Log.Count(ctx, c, after...)
}

// CountMembers leaves some users to the caller.
func (m *meddled) CountMembers(ctx context.Context, requests ...ports.CountRequest) ([]ports.MemberCounts, error) {
	m.meddle()
	counts, err := m.Log.CountMembers(ctx, requests...)
	for _, c := range counts {
		for i := range c.Users {
			if m.unknown[c.Users[i].User] {
				c.Users[i].UnreadCount = ports.UnreadCount{}
			}
		}
	}
	return counts, err
}

func (m *meddled) Members(ctx context.Context, c domain.ChatID) iter.Seq2[domain.UserID, error] {
	m.meddle()
	return m.Log.Members(ctx, c)
}

var errCrash = errors.New("crashed")

// faulty is a view of which a put may reach only a part, or the rest only when its caller is long gone.
type faulty struct {
	*memory.UserView
	p     *projected
	check func(c *foldcheck.Chat, e ports.UserEntry) bool
	late  []func() error
}

// Put first checks whether each entry agrees with the log as of its version.
func (f *faulty) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	var all []ports.ChatEntries // of one entry each
	for _, p := range puts {
		for _, e := range p.Entries {
			if e.Version > f.p.head(ctx, p.Chat) || !f.check(f.p.fold(ctx, p.Chat, e.Version), e) {
				f.p.t.Fatalf("chat %q: put %+v, which is not so as of then", p.Chat, e)
			}
			all = append(all, ports.ChatEntries{Chat: p.Chat, Entries: []ports.UserEntry{e}})
		}
	}
	slices.SortFunc(all, func(a, b ports.ChatEntries) int { // so that a run can be repeated
		return cmp.Or(cmp.Compare(a.Chat, b.Chat), len(a.Entries[0].User)-len(b.Entries[0].User))
	})
	if !f.p.faults || len(all) == 0 || rapid.IntRange(0, 3).Draw(f.p.t, "fault") > 0 {
		return f.UserView.Put(ctx, log, all...)
	}
	n := rapid.IntRange(0, len(all)).Draw(f.p.t, "reached")
	if rapid.Bool().Draw(f.p.t, "late") {
		rest := slices.Clone(all[n:])
		f.late = append(f.late, func() error { return f.UserView.Put(context.WithoutCancel(ctx), log, rest...) })
	}
	return errors.Join(f.UserView.Put(ctx, log, all[:n]...), errCrash)
}

// projected is a log with the processes of the built-in group, in a test that decides the faults.
type projected struct {
	t       *rapid.T
	most    int
	log     *memory.Log
	chats   *app.Chats
	views   []*faulty // of users' chats, of unread counts
	workers []worker
	next    map[domain.ChatID]domain.Seq // the first seq that is not finished
	now     time.Time                    // by which large chats are written
	faults  bool
	sent    int
}

// worker is one process.
type worker struct {
	entities *entity.Loader
	queries  *app.Queries
	builtins *projection.Builtins
}

func newProjected(t *rapid.T) *projected {
	p := &projected{t: t, most: rapid.IntRange(1, 4).Draw(t, "most"), next: map[domain.ChatID]domain.Seq{}, now: time.Unix(0, 0)}
	clock := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	p.log = memory.New(wireformat.New(), clock, nil)
	p.chats = app.NewChats(p.log, entity.NewLoader(p.log, p.log, 1<<20), silent{}, p.log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	p.views = []*faulty{
		{UserView: memory.NewUserView(), p: p, check: func(c *foldcheck.Chat, e ports.UserEntry) bool {
			return e.Gone != c.Member(e.User) && (e.Gone || e.Number == uint64(c.Joined(e.User)))
		}},
		{UserView: memory.NewUserView(), p: p, check: func(c *foldcheck.Chat, e ports.UserEntry) bool {
			return e.Gone != (c.Member(e.User) && c.Kept(p.most)) && (e.Gone || e.Number == uint64(c.Unread(e.User)))
		}},
	}
	for range 2 {
		p.workers = append(p.workers, p.newWorker())
	}
	return p
}

func (p *projected) newWorker() worker {
	log := &meddled{Log: p.log, meddle: p.meddle, unknown: map[domain.UserID]bool{}}
	for _, user := range rapid.SliceOf(rapid.SampledFrom(theUsers())).Draw(p.t, "unknown to the log") {
		log.unknown[user] = true
	}
	loader := entity.NewLoader(log, log, 1<<20)
	views := projection.Views{Log: p.log.ID(), Chats: p.views[0], Unread: p.views[1]}
	queries := app.NewQueries(log, loader, views)
	room := rapid.SampledFrom([]int{1, 5, 1000}).Draw(p.t, "remembered chats")
	builtins := projection.NewBuiltins(projection.NewModels(log, loader, views), nil, true).Alone()
	builtins.Unread().Small(p.most, room).Large(rapid.IntRange(0, 4).Draw(p.t, "large above"), func() time.Time { return p.now })
	return worker{loader, queries, builtins}
}

// meddle causes a change while a handler reads the log.
func (p *projected) meddle() {
	if p.faults && rapid.IntRange(0, 5).Draw(p.t, "meddle") == 0 {
		p.faults = false
		p.command()
		p.faults = true
	}
}

func (p *projected) head(ctx context.Context, chat domain.ChatID) domain.Seq {
	page, err := p.log.Read(ctx, chat, ports.Range{From: 1, Limit: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	return page.Head
}

func (p *projected) records(ctx context.Context, chat domain.ChatID) []ports.Record {
	page, err := p.log.Read(ctx, chat, ports.Range{From: 1, Limit: ports.MaxPage})
	if err != nil || page.Head > ports.MaxPage {
		p.t.Fatalf("%d events, error %v", page.Head, err)
	}
	return page.Records
}

func (p *projected) fold(ctx context.Context, chat domain.ChatID, until domain.Seq) *foldcheck.Chat {
	c := &foldcheck.Chat{}
	for _, r := range p.records(ctx, chat) {
		if r.Seq <= until {
			c.Apply(r.Seq, r.Event)
		}
	}
	return c
}

func theUsers() []domain.UserID {
	return []domain.UserID{"a", "be", "cee", "dora", "emily", "fridolin"} // of different lengths, see Put
}

func theChats() []domain.ChatID { return []domain.ChatID{"one", "two"} }

// command gives one that may be refused.
func (p *projected) command() {
	ctx, t := p.t.Context(), p.t
	chat, by, about := rapid.SampledFrom(theChats()).Draw(t, "chat"), rapid.SampledFrom(theUsers()).Draw(t, "by"), rapid.SampledFrom(theUsers()).Draw(t, "about")
	message := domain.MessageID(fmt.Sprint("m", rapid.IntRange(0, max(p.sent, 1)-1).Draw(t, "message")))
	switch rapid.SampledFrom([]string{"send", "send", "send", "read", "read", "late read", "delete", "add", "add", "remove", "leave", "edit", "react", "promote"}).Draw(t, "command") {
	case "send":
		if _, err := p.chats.Send(ctx, domain.Send{Chat: chat, Actor: by, MessageID: domain.MessageID(fmt.Sprint("m", p.sent)), Content: "x"}); err == nil {
			p.sent++
		}
	case "read":
		_, _ = p.chats.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: by, MessageID: message, AwaitRecorded: true})
	case "late read": // decided on an earlier state, as two processes can
		if m, err := p.workers[0].plain(p).Message(ctx, chat, message); err == nil && p.fold(ctx, chat, p.head(ctx, chat)).Member(by) {
			p.append(domain.ReadReceipt{Chat: chat, User: by, Message: message, ReadSeq: m.Seq, At: time.UnixMilli(1).UTC()})
		}
	case "delete":
		_, _ = p.chats.Delete(ctx, domain.Delete{Chat: chat, Actor: by, MessageID: message})
	case "add":
		_, _ = p.chats.Add(ctx, domain.Add{Chat: chat, Actor: "a", User: about})
	case "remove":
		_, _ = p.chats.Remove(ctx, domain.Remove{Chat: chat, Actor: by, User: about})
	case "leave":
		_, _ = p.chats.Leave(ctx, domain.Leave{Chat: chat, Actor: by})
	case "edit":
		_, _ = p.chats.Edit(ctx, domain.Edit{Chat: chat, Actor: by, MessageID: message, Content: "y"})
	case "react":
		_, _ = p.chats.React(ctx, domain.React{Chat: chat, Actor: by, MessageID: message, Emoji: "👍"})
	case "promote":
		_, _ = p.chats.Promote(ctx, domain.Promote{Chat: chat, Actor: by, User: about, Role: domain.RoleAdmin})
	}
}

// plain are queries without faults.
func (worker) plain(p *projected) *app.Queries {
	return app.NewQueries(p.log, entity.NewLoader(p.log, p.log, 0), projection.Views{Log: p.log.ID(), Chats: p.views[0], Unread: p.views[1]})
}

func (p *projected) append(e domain.Durable) {
	a := ports.Append{Chat: e.ChatID(), Events: []ports.NewEvent{{ID: domain.EventID(ids{}.NewID()), Event: e, Moves: domain.Moves(e)}}}
	if _, err := p.log.Append(p.t.Context(), a); err != nil {
		p.t.Fatal(err)
	}
}

// deliver gives a worker up to so many events of each chat, from the given seqs on, and returns how many of each were finished.
func (p *projected) deliver(from map[domain.ChatID]domain.Seq, most int) map[domain.ChatID]int {
	i := rapid.IntRange(0, len(p.workers)-1).Draw(p.t, "worker")
	var batches []*ports.ChatBatch
	for _, chat := range theChats() {
		records := p.records(p.t.Context(), chat)
		if from[chat] == 0 || int(from[chat]) > len(records) { //nolint:gosec // small
			continue
		}
		records = records[from[chat]-1:]
		b := &ports.ChatBatch{}
		for _, r := range records[:min(most, len(records))] {
			b.Deliveries = append(b.Deliveries, ports.Delivery{
				ID: ports.DeliveryID{Log: p.log.ID(), Chat: chat, Seq: r.Seq, Event: r.ID}, Event: r.Event, Ordinal: r.Ordinal,
			})
		}
		batches = append(batches, b)
	}
	p.workers[i].builtins.HandleBatch(p.t.Context(), batches)
	done, crashed := make(map[domain.ChatID]int), false
	for _, b := range batches {
		chat := b.Deliveries[0].ID.Chat
		done[chat] = b.Done
		switch {
		case b.Err != nil && !errors.Is(b.Err, errCrash) && !errors.Is(b.Err, ports.ErrConflict):
			p.t.Fatalf("chat %q from seq %d on: %v", chat, b.Deliveries[0].ID.Seq, b.Err)
		case b.Err == nil && b.Later == 0 && b.Done < len(b.Deliveries):
			p.t.Fatalf("chat %q: %d of %d are done, without a reason", chat, b.Done, len(b.Deliveries))
		case b.Later > 0 && b.Done > 0:
			p.t.Fatalf("chat %q: %d are done and to be delivered again", chat, b.Done)
		}
		crashed = crashed || b.Err != nil
	}
	if crashed && rapid.Bool().Draw(p.t, "the process ends") {
		p.workers[i] = p.newWorker()
	}
	return done
}

// deliverNext delivers the unfinished events of some chats.
func (p *projected) deliverNext(most int, chats ...domain.ChatID) bool {
	from := make(map[domain.ChatID]domain.Seq)
	for _, chat := range chats {
		if next := max(p.next[chat], 1); next <= p.head(p.t.Context(), chat) {
			from[chat] = next
		}
	}
	for chat, done := range p.deliver(from, most) {
		p.next[chat] = from[chat] + domain.Seq(done) //nolint:gosec // a count
	}
	return len(from) > 0
}

func (p *projected) thaw() {
	for _, v := range p.views {
		if len(v.late) > 0 {
			i := rapid.IntRange(0, len(v.late)-1).Draw(p.t, "thawed")
			if err := v.late[i](); err != nil {
				p.t.Fatal(err)
			}
			v.late = slices.Delete(v.late, i, i+1)
		}
	}
}

// compare checks the stored views and the results of queries.
func (p *projected) compare() {
	queries := p.workers[0].plain(p)
	for _, user := range theUsers() {
		chats, kept, unread := []domain.ChatID{}, map[domain.ChatID]domain.Ordinal{}, map[domain.ChatID]domain.Ordinal{}
		for _, chat := range theChats() {
			if c := p.fold(p.t.Context(), chat, p.head(p.t.Context(), chat)); c.Member(user) {
				chats = append(chats, chat)
				if unread[chat] = c.Unread(user); c.Kept(p.most) {
					kept[chat] = unread[chat]
				}
			}
		}
		gotChats, err := queries.ChatsOf(p.t.Context(), user)
		if err != nil || !slices.Equal(gotChats, chats) {
			p.t.Fatalf("%q is in %q, error %v, by the logs in %q", user, gotChats, err, chats)
		}
		gotKept, err := queries.KeptUnread(p.t.Context(), user)
		if err != nil || !maps.Equal(gotKept, kept) {
			p.t.Fatalf("of %q are kept %v, error %v, by the logs %v", user, gotKept, err, kept)
		}
		gotUnread, err := queries.UnreadOf(p.t.Context(), user)
		if err != nil || !maps.Equal(gotUnread, unread) {
			p.t.Fatalf("%q has unread %v, error %v, by the logs %v", user, gotUnread, err, unread)
		}
	}
}

// TestProjectionsComeToWhatTheLogsSay gives random commands, and random deliveries: repeated, late, by processes that end in the middle of a
// write, or of which the rest of a write arrives when others are long further.
func TestProjectionsComeToWhatTheLogsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newProjected(t)
		for _, chat := range theChats() {
			members := rapid.SampledFrom([][]domain.UserID{{"be"}, {"be", "cee"}, {"be", "cee", "dora"}}).Draw(t, "members")
			if _, err := p.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "a", Members: members}); err != nil {
				t.Fatal(err)
			}
		}
		p.faults = true
		t.Repeat(map[string]func(*rapid.T){
			"command":  func(*rapid.T) { p.command() },
			"commands": func(*rapid.T) { p.command(); p.command(); p.command() },
			"deliver": func(*rapid.T) {
				p.deliverNext(rapid.IntRange(1, 9).Draw(t, "events"), rapid.SampledFrom(theChats()).Draw(t, "chat"))
			},
			"deliver all": func(*rapid.T) { p.deliverNext(rapid.IntRange(1, 40).Draw(t, "events"), theChats()...) },
			"deliver again": func(*rapid.T) {
				from := make(map[domain.ChatID]domain.Seq)
				for _, chat := range theChats() {
					if next := p.next[chat]; next > 1 {
						from[chat] = domain.Seq(rapid.Uint64Range(1, uint64(next)-1).Draw(t, "seq"))
					}
				}
				p.deliver(from, rapid.IntRange(1, 9).Draw(t, "events"))
			},
			"a time passes": func(*rapid.T) { p.now = p.now.Add(time.Hour) },
			"thaw":          func(*rapid.T) { p.thaw() },
			"end a process": func(*rapid.T) {
				p.workers[rapid.IntRange(0, len(p.workers)-1).Draw(t, "worker")] = p.newWorker()
			},
			"another server": func(*rapid.T) {
				p.workers[rapid.IntRange(0, len(p.workers)-1).Draw(t, "worker")].entities.Invalidate()
			},
		})
		p.faults = false
		for p.deliverNext(100, theChats()...) {
			p.now = p.now.Add(time.Hour)
		}
		for len(p.views[0].late)+len(p.views[1].late) > 0 {
			p.thaw()
		}
		p.compare()
	})
}
