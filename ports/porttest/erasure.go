package porttest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// erasing returns an append that erases a message of the history, which exists.
func (h *history) erasing(c domain.ChatID, m domain.MessageID, by domain.UserID, conditions given) ports.Erasure {
	first := h.moved[domain.MessageEntity(m)][0]
	events := []ports.NewEvent{NewEvent(domain.MessageErased{Chat: c, Message: m, Sent: first, By: by, At: now()})}
	if !h.deleted(m) {
		sent, _ := h.records[first-1].Event.(domain.MessageNew)
		sent.Chat, sent.Message = c, m
		events = append([]ports.NewEvent{deletionOf(sent, by)}, events...)
	}
	return ports.Erasure{Append: conditions.then(events...), Message: m}
}

// deleted reports whether a message has a tombstone.
func (h *history) deleted(m domain.MessageID) bool {
	for _, seq := range h.moved[domain.MessageEntity(m)] {
		if domain.Deletes(h.records[seq-1].Event) == m {
			return true
		}
	}
	return false
}

// eventsOf returns the events of a message.
func (h *history) eventsOf(m domain.MessageID) (events []ports.Record) {
	for _, seq := range h.moved[domain.MessageEntity(m)] {
		events = append(events, h.records[seq-1])
	}
	return events
}

// erase replaces the events of a message by their erased forms and returns them as they were.
func (h *history) erase(m domain.MessageID) []ports.Record {
	before := h.eventsOf(m)
	for _, r := range before {
		h.records[r.Seq-1].Event = domain.Erased(r.Event)
	}
	return before
}

// erase makes one erasure and checks its outcome.
func (h *harness) erase(e ports.Erasure) {
	h.t.Helper()
	known := h.history(e.Chat)
	before := known.clone()
	want := expectation{chat: e.Chat, err: domain.ErrInvalid}
	switch {
	case e.Check() != nil:
	case known.version(domain.MessageEntity(e.Message)) == 0:
		want.err = ports.ErrConflict
	default:
		want = h.expect(e.Append)
	}
	ctx, cancel := h.bounded()
	defer cancel()
	got, err := h.log.Erase(ctx, e)
	h.check(want, ports.Outcome{Appended: got.Appended, Err: err})
	if err != nil {
		return
	}
	erased := before.erase(e.Message)
	h.checkRecords(got.Events, erased)
	for _, r := range erased {
		known.records[r.Seq-1].Event = domain.Erased(r.Event)
	}
}

// drawErasure returns an erasure of a message that the history has.
func drawErasure(rt *rapid.T, c domain.ChatID, known *history) (e ports.Erasure, ok bool) {
	var messages []domain.MessageID
	for _, r := range known.records {
		if sent, is := r.Event.(domain.MessageNew); is {
			messages = append(messages, sent.Message)
		}
	}
	if len(messages) == 0 {
		return e, false
	}
	m := rapid.SampledFrom(messages).Draw(rt, "erased")
	version := known.version(domain.MessageEntity(m))
	if rapid.IntRange(0, 4).Draw(rt, "stale") == 0 {
		version--
	}
	e = known.erasing(c, m, bob, given{at(domain.MessageEntity(m), version)})
	if rapid.Bool().Draw(rt, "known") {
		e.Known = known.eventsOf(m)
	}
	return e, true
}

// testErasure erases messages in every state, and compares everything that the log returns of them.
func testErasure(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	full := NewEvent(domain.MessageNew{
		Chat: c, Message: "full", Sender: ann, Content: "content", ReplyTo: "plain", Mentions: []domain.UserID{bob}, ClientMeta: `{"a":1}`,
		Attachments: []domain.Attachment{{Name: "a", Size: 1, URL: "https://example.org/a"}}, At: now(),
	})
	full.Meta = ports.Meta{CorrelationID: "request", CausationID: "cmd", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	why := NewEvent(domain.MessageDelete{Chat: c, Message: "full", By: ann, Reason: "reason", At: now()})
	h.append(then(created(c), added(c, bob), sent(c, "plain", ann), full, edited(c, "full", ann), reacted(c, "full", bob), read(c, "full", bob, 4), why, sent(c, "odd\n{id}", bob)))
	h.append(then(edited(c, "plain", ann), sent(c, "kept", bob)))
	for _, m := range []domain.MessageID{"plain", "full", "odd\n{id}", "full"} { // also one that is erased already
		known := h.history(c)
		h.erase(known.erasing(c, m, bob, given{at(domain.MessageEntity(m), known.version(domain.MessageEntity(m))-1)})) // a conflict
		h.verify()
		h.erase(known.erasing(c, m, bob, given{at(domain.MessageEntity(m), known.version(domain.MessageEntity(m)))}))
		h.verify()
		for _, f := range []ports.Filter{{Messages: true}, {Tombstones: true}, {User: bob}, {User: ann}} {
			h.checkSearch(c, f, ports.Range{Limit: 100})
		}
	}
	if e := h.history(c).records[3].Event; !reflect.DeepEqual(e, domain.MessageNew{Chat: c, Message: "full", Sender: ann, Erased: true, At: e.OccurredAt()}) {
		t.Errorf("the erased message is %+v", e)
	}
}

// testInvalidErasure offers erasures that no log accepts.
func testInvalidErasure(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "m", ann), sent(c, "n", ann)))
	erasure := func(m domain.MessageID) ports.NewEvent {
		return NewEvent(domain.MessageErased{Chat: c, Message: m, Sent: 2, By: ann, At: now()})
	}
	for _, e := range []ports.Erasure{
		{Append: then(deleted(c, "m", ann)), Message: "m"},
		{Append: then(erasure("n")), Message: "m"},
		{Append: then(erasure("m"), erasure("m")), Message: "m"},
		{Append: then(sent(c, "new", ann), erasure("new")), Message: "new"},
		{Append: then(erasure("absent")), Message: "absent"},
		{Append: given{at(domain.ChatEntity(), 7)}.then(erasure("m")), Message: "m"},
		{Append: ports.Append{Chat: c}, Message: "m"},
	} {
		h.erase(e)
	}
	h.verify()
	absent := NewChatID()
	h.erase(ports.Erasure{Append: then(NewEvent(domain.MessageErased{Chat: absent, Message: "m", Sent: 2, By: ann, At: now()})), Message: "m"})
	h.verify()
}

// testErasureOfSegments erases a message whose events lie in several segments, with a recorded command.
func testErasureOfSegments(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "m", ann)))
	for i := range 23 {
		filler := []ports.NewEvent{edited(c, "m", ann)}
		for range 98 {
			filler = append(filler, reacted(c, "m", bob))
		}
		h.append(then(append(filler, sent(c, domain.MessageID(fmt.Sprint("filler", i)), bob))...))
	}
	e := h.history(c).erasing(c, "m", ann, nil)
	e.Append = recorded("erase", e.Append)
	h.erase(e)
	again := h.history(c).erasing(c, "m", ann, nil)
	again.Append = recorded("erase", again.Append)
	h.erase(again) // a conflict, because the command is recorded
	h.verify()
}

// testErasureOfSnapshots erases a message with a snapshot. No snapshot of an earlier version may come back.
func testErasureOfSnapshots(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "m", ann)))
	for range 3 {
		var edits []ports.NewEvent
		for range 100 {
			edits = append(edits, edited(c, "m", ann))
		}
		h.append(then(edits...))
	}
	e := domain.MessageEntity("m")
	all := h.history(c).entity(ports.LoadRequest{Entity: e}).Events
	version, state := all[280].Seq, folded(c, e, all[:281])
	h.keep(c, e, version, state)
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.Version != version {
		t.Fatalf("the message is loaded from a snapshot at %d, want %d", got.Snapshot.Version, version)
	}
	h.erase(h.history(c).erasing(c, "m", ann, nil))
	h.keep(c, e, all[len(all)-1].Seq, state)
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.State != nil {
		t.Errorf("the erased message is loaded from a snapshot at %d: %+v", got.Snapshot.Version, got.Snapshot.State)
	}
	h.verify()
	after := h.history(c).entity(ports.LoadRequest{Entity: e}).Events
	h.keep(c, e, h.history(c).head(), folded(c, e, after))
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.Version != h.history(c).head() {
		t.Errorf("the erased message has no snapshot of its present version, but one of %d", got.Snapshot.Version)
	}
}

// testConcurrentErasures erases a message while others edit it, without conditions. No edit before the erasure keeps its content.
func testConcurrentErasures(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "m", ann)))
	erasure := h.history(c).erasing(c, "m", ann, nil)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for range 40 {
				if _, err := log.Append(t.Context(), then(edited(c, "m", ann))); err != nil {
					t.Errorf("an edit gave %v", err)
				}
			}
		})
	}
	var at domain.Seq
	for at == 0 && !t.Failed() {
		e, err := log.Erase(t.Context(), erasure)
		if err != nil && !errors.Is(err, ports.ErrConflict) {
			t.Errorf("the erasure gave %v", err)
		}
		at = e.First
	}
	running.Wait()
	for _, r := range h.load(c, ports.LoadRequest{Entity: domain.MessageEntity("m"), Whole: true}).Entities[0].Events {
		if erased := domain.Erased(r.Event); r.Seq < at && !reflect.DeepEqual(r.Event, erased) {
			t.Errorf("the event of seq %d before the erasure at %d is %+v", r.Seq, at, r.Event)
		}
	}
}
