package feed_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/feed"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/apptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tb is the part of *testing.T and *rapid.T that the rig uses.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// rig is a hub on a log in memory.
type rig struct {
	t    tb
	log  *testLog
	tail *testTail
	live *liveChannels
	view *testView
	hub  *feed.Hub
	logs atomic.Int64 // of errors, by hubs
}

// testView is a view of the users' chats whose answers can be held back.
type testView struct {
	*memory.UserView
	block atomic.Pointer[chan struct{}]
}

func (v *testView) Of(ctx context.Context, log string, user domain.UserID) (map[domain.ChatID]uint64, error) {
	if block := v.block.Load(); block != nil {
		<-*block
	}
	return v.UserView.Of(ctx, log, user)
}

// blockView has the view wait until release is called.
func (r *rig) blockView() (release func()) {
	block := make(chan struct{})
	r.view.block.Store(&block)
	return func() {
		r.view.block.Store(nil)
		close(block)
	}
}

// silent calls fn while the tail reports no memberships.
func (r *rig) silent(fn func()) {
	r.tail.deaf.Store(true)
	fn()
	r.tail.deaf.Store(false)
}

// testLog is a log that counts reads, and fails on demand.
type testLog struct {
	*memory.Log
	err                          atomic.Pointer[error]
	reads, searches, loads, bulk atomic.Int64
	afterSearch, beforeBulk      func()
	afterRead, afterBulk         func()
	beforeHistory                func()
	change                       func([]ports.Record)
	history                      atomic.Value // "" for the log's id

	damaged sync.Map // chats that cannot be read, with the error
}

// damage has a chat unreadable until err is nil.
func (l *testLog) damage(c domain.ChatID, err error) {
	if err == nil {
		l.damaged.Delete(c)
	} else {
		l.damaged.Store(c, err)
	}
}

func (l *testLog) damageOf(c domain.ChatID) error {
	if err, ok := l.damaged.Load(c); ok {
		return err.(error) //nolint:forcetypeassert // damage stores errors
	}
	return l.failure()
}

// History implements [ports.Histories].
func (l *testLog) History(context.Context) string {
	if l.beforeHistory != nil {
		l.beforeHistory()
	}
	history, _ := l.history.Load().(string)
	return cmp.Or(history, l.ID())
}

func (l *testLog) fails(err error) {
	if err == nil {
		l.err.Store(nil)
	} else {
		l.err.Store(&err)
	}
}

func (l *testLog) failure() error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *testLog) Read(ctx context.Context, c domain.ChatID, r ports.Range) (ports.Page, error) {
	l.reads.Add(1)
	if err := l.damageOf(c); err != nil {
		return ports.Page{}, err
	}
	page, err := l.Log.Read(ctx, c, r)
	if l.change != nil {
		l.change(page.Records)
	}
	if l.afterRead != nil {
		l.afterRead()
	}
	return page, err
}

func (l *testLog) Search(ctx context.Context, c domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	l.searches.Add(1)
	if err := l.failure(); err != nil {
		return ports.Page{}, err
	}
	page, err := l.Log.Search(ctx, c, f, r)
	if l.afterSearch != nil {
		l.afterSearch()
	}
	return page, err
}

func (l *testLog) Load(ctx context.Context, c domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	l.loads.Add(1)
	if err := l.damageOf(c); err != nil {
		return ports.Loaded{}, err
	}
	return l.Log.Load(ctx, c, wants...)
}

func (l *testLog) LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error) {
	l.bulk.Add(1)
	if l.beforeBulk != nil {
		l.beforeBulk()
	}
	for _, load := range loads {
		if err := l.damageOf(load.Chat); err != nil {
			return nil, err
		}
	}
	loaded, err := l.Log.LoadChats(ctx, loads...)
	if l.afterBulk != nil {
		l.afterBulk()
	}
	return loaded, err
}

// testTail is a tail that counts, and that loses and doubles notices on demand.
type testTail struct {
	*memory.Tail
	decoded atomic.Int64
	watched atomic.Int64 // partitions and others that are watched now
	begun   atomic.Int64
	err     atomic.Pointer[error] // of a watch
	change  func(n ports.Notice) []ports.Notice
	decode  func(*ports.Record)
	deaf    atomic.Bool   // to memberships
	block   chan struct{} // until it is closed, Watch waits

	mu       sync.Mutex
	watchers map[int]ports.TailWatcher
	members  func(domain.UserID)
}

type changedWatcher struct {
	t *testTail
	w ports.TailWatcher
}

func (w changedWatcher) Appended(p int, notices []ports.Notice) {
	if w.t.change == nil {
		w.w.Appended(p, notices)
		return
	}
	for _, n := range notices {
		if changed := w.t.change(n); len(changed) > 0 {
			w.w.Appended(p, changed)
		}
	}
}

func (w changedWatcher) Lost(p int) { w.w.Lost(p) }

func (t *testTail) counted(stop func(), err error) (func(), error) {
	if err != nil {
		return nil, err
	}
	t.watched.Add(1)
	t.begun.Add(1)
	return sync.OnceFunc(func() {
		stop()
		t.watched.Add(-1)
	}), nil
}

func (t *testTail) Watch(ctx context.Context, p int, w ports.TailWatcher) (func(), error) {
	if err := t.err.Load(); err != nil {
		return nil, *err
	}
	if t.block != nil {
		<-t.block
	}
	t.mu.Lock()
	if t.watchers == nil {
		t.watchers = make(map[int]ports.TailWatcher)
	}
	t.watchers[p] = w
	t.mu.Unlock()
	return t.counted(t.Tail.Watch(ctx, p, changedWatcher{t, w}))
}

func (t *testTail) WatchEphemeral(ctx context.Context, fn func(ports.EphemeralNotice)) (func(), error) {
	return t.counted(t.Tail.WatchEphemeral(ctx, fn))
}

func (t *testTail) WatchMemberships(ctx context.Context, fn func(domain.UserID)) (func(), error) {
	t.members = fn
	return t.counted(t.Tail.WatchMemberships(ctx, func(user domain.UserID) {
		if !t.deaf.Load() {
			fn(user)
		}
	}))
}

func (t *testTail) Decode(n ports.Notice) (ports.Record, error) {
	t.decoded.Add(1)
	r, err := t.Tail.Decode(n)
	if t.decode != nil {
		t.decode(&r)
	}
	return r, err
}

// hasWatched reports whether the partition of a chat was ever watched.
func (t *testTail) hasWatched(c domain.ChatID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.watchers[t.PartitionOf(c)] != nil
}

// lose calls Lost of the watcher of a chat's partition.
func (t *testTail) lose(c domain.ChatID) {
	t.mu.Lock()
	w := t.watchers[t.PartitionOf(c)]
	t.mu.Unlock()
	w.Lost(t.PartitionOf(c))
}

// hear has the watcher of a chat's partition hear a notice.
func (t *testTail) hear(n ports.Notice) {
	p := t.PartitionOf(n.Chat)
	t.mu.Lock()
	w := t.watchers[p]
	t.mu.Unlock()
	w.Appended(p, []ports.Notice{n})
}

// liveChannels are the channels of ephemeral events.
type liveChannels struct{ hear []func(string, []byte) }

func (c *liveChannels) Hear(fn func(string, []byte)) { c.hear = append(c.hear, fn) }

func (c *liveChannels) send(typ string, payload []byte) {
	for _, fn := range c.hear {
		fn(typ, payload)
	}
}

const partitions = 3

func newRig(t tb, c feed.Config) *rig {
	if c.Heartbeat == 0 {
		c.Heartbeat = 24 * time.Hour
	}
	if c.Opens == 0 {
		c.Opens = 1e6
	}
	r := &rig{t: t, live: &liveChannels{}, view: &testView{UserView: memory.NewUserView()}}
	codec := wireformat.New()
	r.log = &testLog{Log: memory.New(codec, apptest.Clock{}, nil)}
	r.tail = &testTail{Tail: memory.NewTail(r.log.Log, partitions, apptest.Clock{}, r.live, r.view.UserView)}
	r.hub = r.newHub(c, app.FormerMembersUntilRemoval)
	return r
}

// newHub returns another hub on the rig's log, as another process has one.
func (r *rig) newHub(c feed.Config, former app.FormerMembers) *feed.Hub {
	entities := entity.NewLoader(r.log, nil, 1<<20)
	queries := app.NewQueries(r.log, entities, projection.Views{Log: r.log.ID(), Chats: r.view})
	return feed.NewHub(feed.Dependencies{
		Log: r.log, LogID: r.log.ID(), Tail: r.tail, Access: app.NewAccess(queries, app.AccessRules{FormerMembers: former}), Queries: queries, Logger: slog.New(errorCounter{&r.logs}),
	}, c)
}

// errorCounter is a handler of logs that counts errors.
type errorCounter struct{ n *atomic.Int64 }

func (c errorCounter) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}
func (c errorCounter) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c errorCounter) WithGroup(string) slog.Handler      { return c }

func (c errorCounter) Handle(context.Context, slog.Record) error {
	c.n.Add(1)
	return nil
}

// bubble runs a test in a bubble with a time of its own, and checks that the hub leaves nothing behind.
func bubble(t *testing.T, c feed.Config, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c)
		test(t, r)
		r.hub.Close()
		synctest.Wait()
		if n := r.tail.watched.Load(); n != 0 {
			t.Errorf("the closed hub still watches %d things", n)
		}
		if s := r.hub.Stats(); s.Feeds != 0 || s.Chats != 0 {
			t.Errorf("the closed hub still has %d feeds and %d chats", s.Feeds, s.Chats)
		}
	})
}

// replace has the log go on as another one, as a server does that has lost its last writes. The new log has the given events.
func (r *rig) replace(events ...domain.Durable) {
	r.t.Helper()
	log := memory.New(wireformat.New(), apptest.Clock{}, nil)
	r.log.Log = log
	r.appendOnly(events...)
	tail := memory.NewTail(log, partitions, apptest.Clock{}, nil, nil)
	r.tail.mu.Lock()
	defer r.tail.mu.Unlock()
	for p, w := range r.tail.watchers {
		if _, err := tail.Watch(context.Background(), p, changedWatcher{r.tail, w}); err != nil {
			r.t.Fatalf("watch: %v", err)
		}
	}
}

// append appends events of one chat, and puts memberships into the view of the users' chats.
func (r *rig) append(events ...domain.Durable) domain.Seq {
	r.t.Helper()
	seq := r.appendOnly(events...)
	for i, e := range events {
		r.project(e, seq-domain.Seq(len(events)-1-i)) //nolint:gosec // a few
	}
	return seq
}

func (r *rig) appendOnly(events ...domain.Durable) domain.Seq {
	r.t.Helper()
	a := ports.Append{Chat: events[0].ChatID()}
	for _, e := range events {
		a.Events = append(a.Events, porttest.NewEvent(e))
	}
	done, err := r.log.Append(context.Background(), a)
	if err != nil {
		r.t.Fatalf("append: %v", err)
	}
	return done.Last
}

// project puts the membership that an event changes into the view.
func (r *rig) project(e domain.Durable, seq domain.Seq) {
	u, ok := e.(domain.ChatUpdate)
	if !ok {
		return
	}
	entry := ports.UserEntry{User: u.User, Version: seq, Number: uint64(seq)}
	switch u.Change {
	case domain.Created:
		entry.User = u.Actor
	case domain.MemberAdded:
	case domain.MemberRemoved:
		entry.Gone = true
	default:
		return
	}
	if err := r.view.Put(context.Background(), r.log.ID(), ports.ChatEntries{Chat: u.Chat, Entries: []ports.UserEntry{entry}}); err != nil {
		r.t.Fatalf("put: %v", err)
	}
}

func at() time.Time { return domain.Instant(time.Now()) }

func created(c domain.ChatID, by domain.UserID) domain.Durable {
	return domain.ChatUpdate{Chat: c, Actor: by, Change: domain.Created, Title: "title", At: at()}
}

func added(c domain.ChatID, user domain.UserID) domain.Durable {
	return domain.ChatUpdate{Chat: c, Actor: "owner", Change: domain.MemberAdded, User: user, Role: domain.RoleMember, At: at()}
}

func removed(c domain.ChatID, user domain.UserID) domain.Durable {
	return domain.ChatUpdate{Chat: c, Actor: "owner", Change: domain.MemberRemoved, User: user, Previous: domain.RoleMember, At: at()}
}

func sent(c domain.ChatID, m string) domain.Durable {
	return domain.MessageNew{
		Chat: c, Message: domain.MessageID(m), Sender: "owner", Content: domain.Content("content of " + m), Mentions: []domain.UserID{"owner"},
		Attachments: []domain.Attachment{{Name: "a.png", Type: "image/png", Size: 1, URL: "https://example.com/a.png"}}, ClientMeta: `{"k":1}`, At: at(),
	}
}

func edited(c domain.ChatID, m string) domain.Durable {
	return domain.MessageEdit{Chat: c, Message: domain.MessageID(m), Editor: "owner", Content: domain.Content("new content of " + m), Revision: 1, At: at()}
}

func deleted(c domain.ChatID, m string) domain.Durable {
	return domain.MessageDelete{Chat: c, Message: domain.MessageID(m), By: "owner", At: at()}
}

// messages appends n messages to a chat, named by their seqs.
func (r *rig) messages(c domain.ChatID, n int) (last domain.Seq) {
	r.t.Helper()
	head := r.head(c)
	for i := range n {
		last = r.append(sent(c, fmt.Sprintf("m%d", int(head)+i+1))) //nolint:gosec // a few
	}
	return last
}

// neighbor returns another chat of the partition of a chat.
func (r *rig) neighbor(c domain.ChatID) domain.ChatID {
	for i := 0; ; i++ {
		if other := domain.ChatID(fmt.Sprint("o", i)); r.tail.PartitionOf(other) == r.tail.PartitionOf(c) {
			return other
		}
	}
}

func (r *rig) head(c domain.ChatID) domain.Seq {
	loaded, err := r.log.Log.Load(context.Background(), c)
	if err != nil {
		r.t.Fatalf("load: %v", err)
	}
	return loaded.Head
}

func (r *rig) open(req feed.Request) *feed.Feed {
	r.t.Helper()
	f, err := r.hub.Open(context.Background(), req)
	if err != nil {
		r.t.Fatalf("open %+v: %v", req, err)
	}
	return f
}

// String of a message for comparisons: "event c 3", "caught_up c 3".
func show(m feed.Message) string {
	switch m.Kind {
	case feed.KindEvent:
		redacted := ""
		if m.Event.Redacted {
			redacted = " redacted"
		}
		return fmt.Sprintf("event %s %d%s", m.Chat, m.Event.Record.Seq, redacted)
	case feed.KindEphemeral:
		return fmt.Sprintf("%T %s", m.Ephemeral.Event, m.Chat)
	case feed.KindCaughtUp:
		return fmt.Sprintf("caught_up %s %d", m.Chat, m.To)
	case feed.KindSkipped:
		return fmt.Sprintf("skipped %s %d-%d", m.Chat, m.From, m.To)
	case feed.KindChatJoined:
		return fmt.Sprintf("joined %s %d", m.Chat, m.To)
	case feed.KindChatLeft:
		return fmt.Sprintf("left %s %d", m.Chat, m.To)
	case feed.KindResync:
		return fmt.Sprintf("resync %s %d", m.Chat, m.To)
	case feed.KindHeartbeat:
		return "heartbeat"
	}
	return "none"
}

// next returns the next message, or an error.
func next(f *feed.Feed) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := f.Next(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "nothing"
	case err != nil:
		return "error " + err.Error()
	}
	return show(m)
}

// expect compares the next messages. After them nothing must come, unless the last one wanted is "...".
func expect(t tb, f *feed.Feed, want ...string) {
	t.Helper()
	var got []string
	more := false
	if n := len(want); n > 0 && want[n-1] == "..." {
		want, more = want[:n-1], true
	}
	for i, w := range want {
		g := next(f)
		got = append(got, g)
		if g != w {
			t.Fatalf("message %d is %q, want %q; before it came %q", i, g, w, got[:i])
		}
	}
	if !more {
		if g := next(f); g != "nothing" {
			t.Fatalf("after %q came %q", got, g)
		}
	}
}

// events lists consecutive events of a chat, and what follows.
func events(c domain.ChatID, from, to domain.Seq, then ...string) (all []string) {
	for seq := from; seq <= to; seq++ {
		all = append(all, fmt.Sprintf("event %s %d", c, seq))
	}
	return append(all, then...)
}
