package porttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
	"chatcore/ports"
)

// TailRig holds a tail and the adapters that it reports about.
type TailRig struct {
	Tail    ports.Tail
	Log     Log
	Live    ports.LiveBus  // whose ephemeral events the tail reports
	Chats   ports.UserView // the view of the users' chats
	LogName string         // with which Chats is used
	Close   func()         // ends the tail
}

// Tail tests a tail. open may return the same log for every subtest, and must return a tail that was not closed.
func Tail(t *testing.T, open func(t *testing.T) TailRig) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, rig TailRig)
	}{
		{"events come in the order of the log", testTailOrder},
		{"only watched partitions are heard", testTailPartitions},
		{"nothing is missed after Watch has returned", testTailBegin},
		{"each watcher hears all until it stops", testTailStop},
		{"ephemeral events are heard", testTailEphemeral},
		{"memberships are heard", testTailMemberships},
		{"an ended context watches nothing", testTailEndedContext},
		{"a closed tail watches nothing", testTailClosed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// ear is a watcher that keeps what it hears.
type ear struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next call
	notices []ports.Notice
	short   []ports.EphemeralNotice
	users   []domain.UserID
	lost    int
	wrong   int // calls for partitions that it does not watch
	watches []int
}

func newEar(watches ...int) *ear { return &ear{changed: make(chan struct{}), watches: watches} }

func (e *ear) hear(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	close(e.changed)
	e.changed = make(chan struct{})
}

// Appended implements [ports.TailWatcher].
func (e *ear) Appended(partition int, notices []ports.Notice) {
	e.hear(func() {
		if !slices.Contains(e.watches, partition) {
			e.wrong++
		}
		e.notices = append(e.notices, notices...)
	})
}

// Lost implements [ports.TailWatcher].
func (e *ear) Lost(int) { e.hear(func() { e.lost++ }) }

func (e *ear) ephemeral(n ports.EphemeralNotice) {
	e.hear(func() { e.short = append(e.short, n) })
}

func (e *ear) membership(user domain.UserID) { e.hear(func() { e.users = append(e.users, user) }) }

// until waits until a condition holds. It is called with mu held.
func (e *ear) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		e.mu.Lock()
		held, changed := holds(), e.changed
		e.mu.Unlock()
		if held {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// of returns what was heard of a chat, each event once. The events must be in order and without a gap. The caller holds mu.
func (e *ear) of(t *testing.T, chat domain.ChatID) (heard []ports.Notice) {
	for _, n := range e.notices {
		switch last := len(heard); {
		case n.Chat != chat:
		case last == 0 || n.Seq == heard[last-1].Seq+1:
			heard = append(heard, n)
		case n.Seq > heard[last-1].Seq:
			t.Errorf("chat %q: seq %d came after %d", chat, n.Seq, heard[last-1].Seq)
		}
	}
	return heard
}

// hears waits until the head of a chat was heard, and compares the events with those of the log, from seq first on at the latest.
func (e *ear) hears(h *harness, tail ports.Tail, t *testing.T, chat domain.ChatID, first domain.Seq) {
	t.Helper()
	head := h.history(chat).head()
	e.until(t, fmt.Sprintf("seq %d of chat %q was heard", head, chat), func() bool {
		return slices.ContainsFunc(e.notices, func(n ports.Notice) bool { return n.Chat == chat && n.Seq == head })
	})
	e.mu.Lock()
	heard := e.of(t, chat)
	lost, wrong := e.lost, e.wrong
	e.mu.Unlock()
	if lost > 0 || wrong > 0 {
		t.Errorf("the tail lost events %d times, and named another partition %d times", lost, wrong)
	}
	if heard[0].Seq > first {
		t.Fatalf("of chat %q seq %d was heard first, want %d at the latest", chat, heard[0].Seq, first)
	}
	var records []ports.Record
	for _, n := range heard {
		r, err := tail.Decode(n)
		if err != nil {
			t.Fatalf("decode seq %d of chat %q: %v", n.Seq, chat, err)
		}
		records = append(records, r)
	}
	var want []ports.Record
	for from := heard[0].Seq; from <= head; from += ports.MaxPage {
		want = append(want, h.read(chat, ports.Range{From: from, Limit: ports.MaxPage}).Records...)
	}
	h.checkRecords(records, want)
}

func watchPartition(t *testing.T, tail ports.Tail, partition int, w ports.TailWatcher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stop, err := tail.Watch(ctx, partition, w)
	if err != nil {
		t.Fatalf("watch partition %d: %v", partition, err)
	}
	t.Cleanup(stop)
	return stop
}

// customEvent returns an event of about the given size, of a type that the core does not know.
func customEvent(c domain.ChatID, size int) ports.NewEvent {
	data := make([]byte, 0, size+10)
	data = append(data, `{"text":"`...)
	for range size {
		data = append(data, 'x')
	}
	return NewEvent(domain.Custom{Chat: c, Actor: ann, Type: "order:paid", Version: 1, Data: string(append(data, `"}`...)), At: now()})
}

func testTailOrder(t *testing.T, rig TailRig) {
	h, hears := newHarness(t, rig.Log), newEar()
	chats := []domain.ChatID{NewChatID(), NewChatID(), NewChatID(), NewChatID(), NewChatID()}
	for p := range rig.Tail.Partitions() {
		hears.watches = append(hears.watches, p)
		watchPartition(t, rig.Tail, p, hears)
	}
	for _, c := range chats {
		if p := rig.Tail.PartitionOf(c); p < 0 || p >= rig.Tail.Partitions() || p != rig.Tail.PartitionOf(c) {
			t.Fatalf("chat %q is in partition %d of %d", c, p, rig.Tail.Partitions())
		}
		h.append(then(created(c)))
	}
	for i := range 20 { // batches over all chats, of several commands with several events
		var batch []ports.Append
		for j, c := range chats {
			m := domain.MessageID(fmt.Sprintf("m%d-%d", i, j))
			batch = append(batch, then(sent(c, m, ann)), then(edited(c, m, ann), reacted(c, m, ann)), then(customEvent(c, 100*i)))
		}
		h.appendBatch(batch...)
	}
	h.append(then(customEvent(chats[0], domain.MaxEventBytes-300))) // almost as large as an announcement may be
	h.append(then(sent(chats[0], "last", ann)))
	for _, c := range chats {
		hears.hears(h, rig.Tail, t, c, 1)
	}
}

func testTailPartitions(t *testing.T, rig TailRig) {
	h := newHarness(t, rig.Log)
	one := NewChatID()
	watched := rig.Tail.PartitionOf(one)
	hears := newEar(watched)
	watchPartition(t, rig.Tail, watched, hears)
	var others []domain.ChatID
	for range 20 {
		if c := NewChatID(); rig.Tail.PartitionOf(c) != watched {
			others = append(others, c)
			h.append(then(created(c)))
		}
	}
	h.append(then(created(one)))
	hears.hears(h, rig.Tail, t, one, 1)
	hears.mu.Lock()
	defer hears.mu.Unlock()
	for _, c := range others {
		if heard := hears.of(t, c); len(heard) > 0 {
			t.Errorf("chat %q of another partition was heard", c)
		}
	}
}

// testTailBegin watches while several writers append.
func testTailBegin(t *testing.T, rig TailRig) {
	c := NewChatID()
	h := newHarness(t, rig.Log)
	h.append(then(created(c)))
	events := map[domain.EventID]ports.NewEvent{}
	for _, r := range h.read(c, ports.Range{Limit: 1}).Records {
		events[r.ID] = ports.NewEvent{ID: r.ID, Event: r.Event, Moves: domain.Moves(r.Event), Meta: r.Meta}
	}
	ctx, cancel := h.bounded()
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex // guards events
	for w := range 4 {
		group.Go(func() error {
			for i := range 50 {
				e := sent(c, domain.MessageID(fmt.Sprintf("m%d-%d", w, i)), ann)
				mu.Lock()
				events[e.ID] = e
				mu.Unlock()
				if _, err := rig.Log.Append(ctx, then(e)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	partition := rig.Tail.PartitionOf(c)
	var ears []*ear
	var heads []domain.Seq
	for range 3 {
		hears := newEar(partition)
		watchPartition(t, rig.Tail, partition, hears)
		heads = append(heads, h.read(c, ports.Range{Limit: 1}).Head)
		ears = append(ears, hears)
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	last := sent(c, "last", ann)
	events[last.ID] = last
	if _, err := rig.Log.Append(t.Context(), then(last)); err != nil {
		t.Fatal(err)
	}
	h.adopt(c, events)
	for i, hears := range ears {
		hears.hears(h, rig.Tail, t, c, heads[i]+1)
	}
}

func testTailStop(t *testing.T, rig TailRig) {
	h, c := newHarness(t, rig.Log), NewChatID()
	partition := rig.Tail.PartitionOf(c)
	stays, leaves, returns := newEar(partition), newEar(partition), newEar(partition)
	watchPartition(t, rig.Tail, partition, stays)
	stop := watchPartition(t, rig.Tail, partition, leaves)
	h.append(then(created(c)))
	stays.hears(h, rig.Tail, t, c, 1)
	leaves.hears(h, rig.Tail, t, c, 1)
	stop()
	stop()
	heard := len(leaves.notices) // no lock: the watcher is not called any more
	h.append(then(sent(c, "m1", ann)))
	stays.hears(h, rig.Tail, t, c, 1)
	watchPartition(t, rig.Tail, partition, returns)
	h.append(then(sent(c, "m2", ann)))
	stays.hears(h, rig.Tail, t, c, 1)
	returns.hears(h, rig.Tail, t, c, 3)
	if len(leaves.notices) != heard {
		t.Errorf("a watcher that has stopped heard %d events more", len(leaves.notices)-heard)
	}
}

func testTailEphemeral(t *testing.T, rig TailRig) {
	hears := newEar()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stop, err := rig.Tail.WatchEphemeral(ctx, hears.ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c, user := NewChatID(), newUserID()
	at := now()
	for _, e := range []domain.Ephemeral{
		domain.TypingStart{Chat: c, User: user, ExpiresAt: at.Add(domain.TypingTTL), At: at},
		domain.TypingStop{Chat: c, User: user, At: at},
		domain.UserStatus{User: user, Status: domain.Away, LastSeen: at, At: at},
	} {
		meta := ports.Meta{CorrelationID: "request"}
		if err := rig.Live.Publish(ctx, e, meta); err != nil {
			t.Fatal(err)
		}
		var n ports.EphemeralNotice
		hears.until(t, fmt.Sprintf("%+v is heard", e), func() bool {
			for _, n = range hears.short { // others may share the channels
				if n.User != user {
					continue
				}
				got, m, err := rig.Tail.DecodeEphemeral(n)
				if err != nil {
					t.Errorf("decode %s: %v", n.JSON, err)
				}
				if got == e && m == meta {
					return true
				}
			}
			return false
		})
		want := c
		if _, status := e.(domain.UserStatus); status {
			want = ""
		}
		if n.Chat != want || n.Type == "" {
			t.Errorf("%+v came as type %q of chat %q, want chat %q", e, n.Type, n.Chat, want)
		}
	}
	for _, n := range []ports.EphemeralNotice{{Type: "typing:start", JSON: []byte(`{}`)}, {Type: "typing:start", JSON: []byte(`no`)}} {
		if e, _, err := rig.Tail.DecodeEphemeral(n); err == nil {
			t.Errorf("%s is %+v, want an error", n.JSON, e)
		}
	}
	stop()
	stop()
}

func testTailMemberships(t *testing.T, rig TailRig) {
	hears := newEar()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stop, err := rig.Tail.WatchMemberships(ctx, hears.membership)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c, one, two := NewChatID(), newUserID(), newUserID()
	count := func(user domain.UserID) (n int) {
		for _, heard := range hears.users {
			if heard == user {
				n++
			}
		}
		return n
	}
	for i, step := range []struct {
		gone bool
		want int // how often both users were heard by then, at least
	}{{false, 1}, {true, 2}, {false, 3}} {
		version := domain.Seq(i + 1) //nolint:gosec // a few
		err := rig.Chats.Put(ctx, rig.LogName, ports.ChatEntries{Chat: c, Entries: []ports.UserEntry{
			{User: one, Version: version, Number: uint64(version), Gone: step.gone}, {User: two, Version: version, Number: uint64(version), Gone: step.gone},
		}})
		if err != nil {
			t.Fatal(err)
		}
		hears.until(t, fmt.Sprintf("put %d is heard", i), func() bool { return count(one) >= step.want && count(two) >= step.want })
	}
	stop()
	stop()
}

func testTailEndedContext(t *testing.T, rig TailRig) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expectNoWatch(ctx, t, rig.Tail, context.Canceled)
}

func testTailClosed(t *testing.T, rig TailRig) {
	stop := watchPartition(t, rig.Tail, 0, newEar())
	rig.Close()
	stop()
	expectNoWatch(t.Context(), t, rig.Tail, ports.ErrClosed)
}

func expectNoWatch(ctx context.Context, t *testing.T, tail ports.Tail, want error) {
	t.Helper()
	_, err := tail.Watch(ctx, 0, newEar())
	_, ephemeral := tail.WatchEphemeral(ctx, newEar().ephemeral)
	_, memberships := tail.WatchMemberships(ctx, newEar().membership)
	for _, err := range []error{err, ephemeral, memberships} {
		if !errors.Is(err, want) {
			t.Errorf("watching gave the error %v, want %v", err, want)
		}
	}
}
