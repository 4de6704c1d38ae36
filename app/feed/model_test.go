package feed_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// TestFeed_Model has random readers follow random chats, over a tail that loses, doubles and delays notices and a log that fails at times. The events that
// a reader gets must be those of the log: see reader.got and world.finish.
func TestFeed_Model(t *testing.T) {
	logged := false
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		cache := rapid.SampledFrom([]int{1, 50_000, 32 << 20}).Draw(rt, "cache")
		synctest.Test(t, func(*testing.T) {
			w := newWorld(rt, cache)
			defer func() {
				failure = recover() // rapid fails a test by a panic, which must not leave the bubble on this goroutine
				w.log.fails(nil)
				w.hub.Close()
			}()
			rt.Repeat(map[string]func(*rapid.T){
				"send": w.send, "change": w.changeMessage, "membership": w.changeMembership, "custom": w.custom,
				"project": w.projectSome, "open": w.open, "reconnect": w.reconnect, "read": w.read, "read all": w.readAll,
				"tail": w.changeTail, "lost": w.lose, "log": w.changeLog, "wait": w.wait,
			})
			w.finish()
		})
		if failure != nil {
			if !logged { // rapid's own report may be of another run: goroutines of the hub make the order of reads differ
				logged = true
				t.Logf("the first failure: %v", failure)
			}
			panic(failure)
		}
	})
}

var (
	modelChats = []domain.ChatID{"a", "b", "c", "d"}
	modelUsers = []domain.UserID{"", "ann", "bob"}
)

type world struct {
	*rig
	rt       *rapid.T
	pending  []projected // memberships that the view of the users' chats does not have yet
	readers  []*reader
	messages map[domain.ChatID]int

	mu      sync.Mutex // guards the fields below
	mode    string     // of the tail
	delayed []ports.Notice
}

type projected struct {
	event domain.Durable
	seq   domain.Seq
}

// reader is a client, over all of its feeds.
type reader struct {
	w       *world
	name    string
	request feed.Request
	feed    *feed.Feed // nil while it is not connected
	chats   map[domain.ChatID]*place
	opened  map[domain.ChatID]domain.Seq                // heads when the feed was opened
	before  map[domain.ChatID]map[domain.MessageID]bool // messages that were deleted then
	slow    int
}

// place is what a reader knows of a chat.
type place struct {
	follows  bool
	left     bool // by its own account; a named chat does not come back
	pos      domain.Seq
	caughtUp int // in the present feed
}

func newWorld(rt *rapid.T, cache int) *world {
	w := &world{rt: rt, messages: make(map[domain.ChatID]int)}
	w.rig = newRig(rt, feed.Config{MaxCatchUp: 150, QueueCount: 40, Heartbeat: time.Minute, CacheBytes: cache})
	w.tail.change = w.pass
	for _, c := range modelChats[:3] { // the last one does not exist at first
		w.append(created(c, "owner"), added(c, "ann"))
	}
	return w
}

// pass is what the tail makes of a notice.
func (w *world) pass(n ports.Notice) []ports.Notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []ports.Notice
	switch w.mode {
	case "drops":
	case "doubles":
		all = append(w.delayed, n, n)
		w.delayed = nil
	case "delays":
		w.delayed = append(w.delayed, n)
	default:
		all = append(w.delayed, n)
		w.delayed = nil
	}
	return all
}

func (w *world) add(events ...domain.Durable) {
	seq := w.appendOnly(events...)
	for i, e := range events {
		w.pending = append(w.pending, projected{e, seq - domain.Seq(len(events)-1-i)}) //nolint:gosec // a few
	}
}

func (w *world) chat(rt *rapid.T) domain.ChatID {
	return rapid.SampledFrom(modelChats).Draw(rt, "chat")
}

func (w *world) send(rt *rapid.T) {
	c := w.chat(rt)
	if w.head(c) == 0 {
		w.add(created(c, "owner"))
	}
	var batch []domain.Durable
	for range rapid.SampledFrom([]int{1, 2, 10, 70}).Draw(rt, "messages") {
		w.messages[c]++
		batch = append(batch, sent(c, fmt.Sprint(w.messages[c])))
	}
	w.add(batch...)
}

func (w *world) changeMessage(rt *rapid.T) {
	c := w.chat(rt)
	if w.messages[c] == 0 {
		return
	}
	m := fmt.Sprint(rapid.IntRange(1, w.messages[c]).Draw(rt, "message"))
	if w.deletedMessages(c)[domain.MessageID(m)] {
		return
	}
	if rapid.Bool().Draw(rt, "delete") {
		w.add(deleted(c, m))
	} else {
		w.add(edited(c, m))
	}
}

func (w *world) custom(rt *rapid.T) {
	c := w.chat(rt)
	if w.head(c) > 0 {
		w.add(domain.Custom{Chat: c, Actor: "owner", Type: "order:paid", Version: 1, Data: "{}", At: at()})
	}
}

func (w *world) changeMembership(rt *rapid.T) {
	c, user := w.chat(rt), rapid.SampledFrom(modelUsers[1:]).Draw(rt, "user")
	switch {
	case w.head(c) == 0:
		w.add(created(c, "owner"), added(c, user))
	case w.member(c, user):
		w.add(removed(c, user))
	default:
		w.add(added(c, user))
	}
}

// member reports whether a user is a member now.
func (w *world) member(c domain.ChatID, user domain.UserID) (member bool) {
	for _, e := range w.all(c) {
		u, ok := e.Event.(domain.ChatUpdate)
		if ok && u.User == user && (u.Change == domain.MemberAdded || u.Change == domain.MemberRemoved) {
			member = u.Change == domain.MemberAdded
		}
	}
	return member
}

// all returns the log of a chat.
func (w *world) all(c domain.ChatID) (records []ports.Record) {
	for {
		page, err := w.log.Log.Read(context.Background(), c, ports.Range{From: domain.Seq(len(records) + 1), Limit: ports.MaxPage}) //nolint:gosec // a few
		if err != nil {
			w.t.Fatalf("read: %v", err)
		}
		if records = append(records, page.Records...); len(page.Records) < ports.MaxPage {
			return records
		}
	}
}

func (w *world) deletedMessages(c domain.ChatID) map[domain.MessageID]bool {
	gone := make(map[domain.MessageID]bool)
	for _, r := range w.all(c) {
		if d, ok := r.Event.(domain.MessageDelete); ok {
			gone[d.Message] = true
		}
	}
	return gone
}

func (w *world) projectSome(rt *rapid.T) {
	for range rapid.IntRange(0, len(w.pending)).Draw(rt, "memberships") {
		w.project(w.pending[0].event, w.pending[0].seq)
		w.pending = w.pending[1:]
	}
}

func (w *world) changeTail(rt *rapid.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = rapid.SampledFrom([]string{"", "drops", "doubles", "delays"}).Draw(rt, "mode")
}

func (w *world) lose(rt *rapid.T) {
	if c := w.chat(rt); w.tail.hasWatched(c) {
		w.tail.lose(c)
	}
}

func (w *world) changeLog(rt *rapid.T) {
	if rapid.Bool().Draw(rt, "fails") {
		w.log.fails(ports.ErrUnavailable)
	} else {
		w.log.fails(nil)
	}
}

func (w *world) wait(rt *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute}).Draw(rt, "time"))
	synctest.Wait()
}

func (w *world) open(rt *rapid.T) {
	if len(w.readers) > 4 {
		return
	}
	r := &reader{w: w, chats: make(map[domain.ChatID]*place), name: fmt.Sprint("reader ", len(w.readers))}
	r.request.User = rapid.SampledFrom(modelUsers).Draw(rt, "reader")
	r.request.AllChats = r.request.User != "" && rapid.Bool().Draw(rt, "all chats")
	if !r.request.AllChats {
		for _, c := range modelChats {
			if !rapid.Bool().Draw(rt, "names") || r.request.User != "" && !w.member(c, r.request.User) {
				continue
			}
			p := feed.Position{Chat: c, Head: rapid.Bool().Draw(rt, "head")}
			if !p.Head {
				p.Seq = domain.Seq(rapid.Uint64Range(0, uint64(w.head(c))).Draw(rt, "seq"))
			}
			r.request.Chats = append(r.request.Chats, p)
		}
		if len(r.request.Chats) == 0 {
			return
		}
	}
	w.readers = append(w.readers, r)
	r.connect()
}

// reconnect closes a feed, or opens one with the positions of the one before.
func (w *world) reconnect(rt *rapid.T) {
	if len(w.readers) == 0 {
		return
	}
	r := rapid.SampledFrom(w.readers).Draw(rt, "reader")
	if r.feed != nil {
		r.disconnect()
	} else {
		r.connect()
	}
}

func (r *reader) connect() {
	if len(r.request.Chats) == 0 && !r.request.AllChats { // it has left all
		r.w.readers = slices.DeleteFunc(r.w.readers, func(other *reader) bool { return other == r })
		return
	}
	f, err := r.w.hub.Open(context.Background(), r.request)
	if errors.Is(err, ports.ErrUnavailable) {
		return
	}
	if err != nil {
		r.w.t.Fatalf("%s: open %+v: %v", r.name, r.request, err)
	}
	r.feed = f
	r.opened, r.before = make(map[domain.ChatID]domain.Seq), make(map[domain.ChatID]map[domain.MessageID]bool)
	for _, c := range modelChats {
		r.opened[c], r.before[c] = r.w.head(c), r.w.deletedMessages(c)
	}
	for _, p := range r.chats {
		p.caughtUp = 0
	}
	for c, pos := range r.feed.Positions() {
		p := r.place(c)
		if !r.request.Resume && !p.left && !p.follows { // the first feed
			p.follows, p.pos = true, pos
		}
		if p.pos != pos || !p.follows {
			r.w.t.Fatalf("%s: the feed begins at %d of chat %q, want %+v", r.name, pos, c, *p)
		}
	}
}

func (r *reader) disconnect() {
	positions := maps.Collect(r.feed.Positions())
	r.request.Chats = nil
	for c, p := range r.chats {
		if pos, ok := positions[c]; ok != p.follows || ok && pos != p.pos {
			r.w.t.Fatalf("%s: the position of chat %q is %d, %t, want %+v", r.name, c, pos, ok, *p)
		}
		if p.follows {
			r.request.Chats = append(r.request.Chats, feed.Position{Chat: c, Seq: p.pos})
		}
	}
	slices.SortFunc(r.request.Chats, func(a, b feed.Position) int { return compareIDs(a.Chat, b.Chat) })
	r.request.Resume = r.request.AllChats
	r.feed.Close()
	if _, err := r.feed.Next(context.Background()); !errors.Is(err, feed.ErrEnded) {
		r.w.t.Fatalf("%s: the closed feed returned the error %v", r.name, err)
	}
	r.feed = nil
}

func compareIDs(a, b domain.ChatID) int {
	if a < b {
		return -1
	}
	return 1
}

func (r *reader) place(c domain.ChatID) *place {
	if r.chats[c] == nil {
		r.chats[c] = &place{}
	}
	return r.chats[c]
}

func (w *world) read(rt *rapid.T) {
	if len(w.readers) == 0 {
		return
	}
	r := rapid.SampledFrom(w.readers).Draw(rt, "reader")
	for range rapid.IntRange(1, 100).Draw(rt, "messages") {
		if !r.read() {
			return
		}
	}
}

func (w *world) readAll(*rapid.T) {
	for _, r := range slices.Clone(w.readers) {
		for r.read() {
		}
	}
}

// read reads one message. It reports false if there was none.
func (r *reader) read() bool {
	if r.feed == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	m, err := r.feed.Next(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, feed.ErrSlow):
		r.slow++
		r.disconnectSlow()
		r.connect()
		return r.feed != nil
	case err != nil:
		r.w.t.Fatalf("%s: %v", r.name, err)
	}
	r.got(m)
	return true
}

func (r *reader) disconnectSlow() {
	f := r.feed
	r.request.Resume = r.request.AllChats
	r.request.Chats = nil
	for c, pos := range f.Positions() {
		r.request.Chats = append(r.request.Chats, feed.Position{Chat: c, Seq: pos})
	}
	r.feed = nil
}

// got checks a message against the log and what the reader got before.
func (r *reader) got(m feed.Message) {
	p := r.place(m.Chat)
	bad := func(why string) { r.w.t.Fatalf("%s: %s: %s, knows %+v", r.name, show(m), why, *p) }
	switch m.Kind {
	case feed.KindEvent:
		if !p.follows || m.Event.Record.Seq != p.pos+1 {
			bad("out of order")
		}
		p.pos++
		r.compare(m, r.w.all(m.Chat)[p.pos-1], bad)
	case feed.KindCaughtUp:
		if p.caughtUp++; p.caughtUp > 1 || !p.follows || m.To != p.pos {
			bad("wrong place")
		}
	case feed.KindSkipped:
		if !p.follows || m.From != p.pos+1 || m.To < m.From || p.caughtUp > 0 {
			bad("wrong place")
		}
		p.pos = m.To
	case feed.KindChatJoined:
		if p.follows || !r.request.AllChats {
			bad("wrong place")
		}
		if e, ok := r.w.all(m.Chat)[m.To].Event.(domain.ChatUpdate); !ok || e.User != r.request.User || e.Change != domain.MemberAdded {
			bad("does not begin with the event that made the user a member")
		}
		*p = place{follows: true, pos: m.To}
	case feed.KindChatLeft:
		if !p.follows || m.To != p.pos {
			bad("wrong place")
		}
		if e, ok := r.w.all(m.Chat)[m.To-1].Event.(domain.ChatUpdate); !ok || e.User != r.request.User || e.Change != domain.MemberRemoved {
			bad("does not end with the removal")
		}
		p.follows, p.left = false, true
	case feed.KindHeartbeat:
	default:
		bad("not expected")
	}
}

// compare compares an event with the record of the log.
func (r *reader) compare(m feed.Message, want ports.Record, bad func(string)) {
	got := m.Event.Record
	if got.ID != want.ID || got.Seq != want.Seq || got.Ordinal != want.Ordinal || got.Event.ChatID() != m.Chat {
		bad("is another event")
	}
	var content domain.Content
	var message domain.MessageID
	switch e := got.Event.(type) {
	case domain.MessageNew:
		content, message = e.Content, e.Message
		if m.Event.Redacted && (e.Attachments != nil || e.Mentions != nil || e.ClientMeta != "") {
			bad("has content")
		}
	case domain.MessageEdit:
		content, message = e.Content, e.Message
	default:
		return
	}
	gone := r.w.deletedMessages(m.Chat)[message]
	if m.Event.Redacted != (content == "") || m.Event.Redacted && (!gone || r.request.User == "") {
		bad("is redacted without reason")
	}
	if r.before[m.Chat][message] && want.Seq <= r.opened[m.Chat] && !m.Event.Redacted && r.request.User != "" {
		bad("has the content of a message that was deleted before the feed was opened")
	}
}

// finish lets everything work again, and checks that each reader has all.
func (w *world) finish() {
	w.log.fails(nil)
	w.mu.Lock()
	w.mode, w.delayed = "", nil
	w.mu.Unlock()
	for _, p := range w.pending {
		w.project(p.event, p.seq)
	}
	for _, c := range modelChats {
		if w.tail.hasWatched(c) {
			w.tail.lose(c)
		}
	}
	time.Sleep(10 * time.Second) // backoff
	for _, r := range slices.Clone(w.readers) {
		if r.feed == nil {
			r.connect()
		}
	}
	for range 20 {
		w.readAll(nil)
		time.Sleep(time.Second)
		synctest.Wait()
	}
	for _, r := range w.readers {
		for _, c := range modelChats {
			p := r.place(c)
			member := r.request.User == "" || w.member(c, r.request.User)
			switch {
			case p.follows && (p.pos != w.head(c) || !member):
				w.t.Fatalf("%s: the place in chat %q is %+v in the end, the head is %d, member %t", r.name, c, *p, w.head(c), member)
			case r.request.AllChats && member && !p.follows:
				w.t.Fatalf("%s: does not follow chat %q in the end: %+v", r.name, c, *p)
			}
		}
	}
	w.hub.Close()
	synctest.Wait()
	if n := w.tail.watched.Load(); n != 0 {
		w.t.Fatalf("the closed hub still watches %d things", n)
	}
}
