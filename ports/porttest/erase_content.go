package porttest

import (
	"fmt"
	"sync"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// eventsWithContent returns one event of each kind whose content EraseContent erases, as far as the log takes it, some that have none, and a message with its edit.
func eventsWithContent(log Log, c domain.ChatID, n int) []ports.NewEvent {
	message := domain.MessageID(fmt.Sprint("m", n))
	custom := func(entity domain.CustomID, data string) ports.NewEvent {
		return NewEvent(domain.Custom{Chat: c, Actor: bob, Type: "team:x", Version: 2, Entity: entity, Data: data, At: now()})
	}
	events := []ports.NewEvent{
		renamed(c, domain.Title(fmt.Sprint("title ", n))), renamed(c, ""), custom("poll", `{"a":1}`), custom("", `{"a":"{\"erased\":true}"}`), custom("poll", "{}"),
		sent(c, message, ann), edited(c, message, ann), reacted(c, message, bob), read(c, message, bob, 1),
	}
	if !hasRules(log) {
		return events
	}
	return append(events,
		NewEvent(domain.ChatMetadata{Chat: c, Actor: ann, Set: map[string]domain.JSON{"topic": domain.JSON(fmt.Sprint(n))}, At: now()}),
		NewEvent(domain.ChatMetadata{Chat: c, Actor: bob, Unset: []string{"old"}, At: now()}),
		NewEvent(domain.MemberRestriction{Chat: c, Actor: ann, User: bob, Kind: domain.Mute, Reason: "a reason", At: now()}),
		NewEvent(domain.MemberRestriction{Chat: c, Actor: ann, User: bob, Kind: domain.Mute, Lifted: true, At: now()}),
	)
}

// eraseContent erases a range, page by page, and changes the model as the results say.
func (h *harness) eraseContent(c domain.ChatID, r ports.ContentRange, held func(domain.UserID) bool) (total ports.ContentErased) {
	h.t.Helper()
	known, want := h.history(c), ports.ContentErased{}
	for i := range known.records {
		rec := &known.records[i]
		erased, ok := domain.ErasedWithChat(rec.Event)
		switch {
		case !ok || rec.Seq < r.From || rec.Seq > r.Until:
		case held != nil && held(domain.Actor(rec.Event)):
			want.Held++
		default:
			rec.Event = erased
			want.Erased++
		}
	}
	for {
		ctx, cancel := h.bounded()
		done, err := h.log.EraseContent(ctx, c, r)
		cancel()
		if err != nil {
			h.t.Fatalf("erasing content of the seqs %d to %d: %v", r.From, r.Until, err)
		}
		total.Erased, total.Held = total.Erased+done.Erased, total.Held+done.Held
		if done.Held > 0 {
			total.Hold = done.Hold
		}
		if done.Next != 0 && (done.Next <= r.From || done.Next > r.Until) {
			h.t.Fatalf("erasing content of the seqs %d to %d goes on at %d", r.From, r.Until, done.Next)
		}
		if r.From = done.Next; r.From == 0 {
			break
		}
	}
	if total.Erased != want.Erased || total.Held != want.Held {
		h.t.Fatalf("%d events were erased and %d held, want %d and %d", total.Erased, total.Held, want.Erased, want.Held)
	}
	return total
}

// testContentErasure erases the content of ranges of a chat of several pages, with every kind of event.
func testContentErasure(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob)))
	for n := range 2*ports.MaxPage/9 + 5 {
		h.append(then(eventsWithContent(log, c, n)...))
	}
	head := h.history(c).head()
	for _, r := range []ports.ContentRange{{}, {From: 5, Until: 4}, {Until: 1}, {From: 9, Until: 12}, {From: head, Until: head + 5}, {From: head + 1, Until: head + 5}, {From: 100, Until: head - 100}, {Until: head}} {
		h.eraseContent(c, r, nil)
	}
	h.verify()
	if again := h.eraseContent(c, ports.ContentRange{Until: head}, nil); again != (ports.ContentErased{}) {
		t.Errorf("the second erasure gives %+v", again)
	}
	h.eraseContent(NewChatID(), ports.ContentRange{Until: 9}, nil) // does not exist
	h.append(then(renamed(c, "the next title")))
	h.verify()
}

// testContentErasureOfSnapshots erases the content of a deleted chat with snapshots. None of an earlier version comes back.
func testContentErasureOfSnapshots(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	for range 3 {
		var names []ports.NewEvent
		for range 100 {
			names = append(names, renamed(c, "secret"))
		}
		h.append(then(names...))
	}
	e := domain.ChatEntity()
	version, state := h.history(c).head(), &domain.Chat{ID: c, Title: "secret", CreatedBy: ann}
	h.append(then(renamed(c, "last")))
	h.keep(c, e, version, state)
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.Version != version {
		t.Fatalf("the chat is loaded from a snapshot at %d, want %d", got.Snapshot.Version, version)
	}
	h.append(then(NewEvent(domain.ChatDeleted{Chat: c, By: ann, At: now()})))
	last := h.history(c).head()
	h.eraseContent(c, ports.ContentRange{Until: last}, nil)
	for _, before := range []domain.Seq{version, last - 1} {
		h.keep(c, e, before, state)
	}
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.State != nil {
		t.Errorf("the chat is loaded from a snapshot at %d: %+v", got.Snapshot.Version, got.Snapshot.State)
	}
	h.verify()
	h.keep(c, e, last, &domain.Chat{ID: c, CreatedBy: ann, DeletedBy: ann})
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.Version != last {
		t.Errorf("the chat has no snapshot of its present version, but one of %d", got.Snapshot.Version)
	}
}

// testConcurrentContentErasures erases the content of a chat several times at once, while others append.
func testConcurrentContentErasures(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob)))
	for n := range 40 {
		h.append(then(eventsWithContent(log, c, n)...))
	}
	until := h.history(c).head()
	var running sync.WaitGroup
	erased := make([]int, 4)
	for i := range erased {
		running.Go(func() {
			done, err := log.EraseContent(t.Context(), c, ports.ContentRange{Until: until})
			if erased[i] = done.Erased; err != nil {
				t.Errorf("the erasure gave %v", err)
			}
		})
	}
	for range 40 {
		h.append(then(renamed(c, "later")))
	}
	running.Wait()
	again := h.eraseContentOf(c, until)
	if again.Erased != 0 {
		t.Errorf("%d events were left", again.Erased)
	}
	h.verify()
}

// eraseContentOf erases the content of one page and changes the model, whatever of it was erased before.
func (h *harness) eraseContentOf(c domain.ChatID, until domain.Seq) ports.ContentErased {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	done, err := h.log.EraseContent(ctx, c, ports.ContentRange{Until: until})
	if err != nil {
		h.t.Fatalf("erasing content: %v", err)
	}
	for i := range h.history(c).records[:until] {
		rec := &h.history(c).records[i]
		if e, ok := domain.ErasedWithChat(rec.Event); ok {
			rec.Event = e
		}
	}
	return done
}

// testHeldContent erases the content of a chat under holds of the log, of the chat and of a user.
func testHeldContent(t *testing.T, log ruledLog) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob)))
	h.append(then(eventsWithContent(log, c, 1)...))
	whole := ports.ContentRange{Until: h.history(c).head()}
	for _, subject := range []domain.HoldSubject{{}, {Chat: c}, {User: bob}} {
		if err := log.AddHold(t.Context(), hold(subject, "case")); err != nil {
			t.Fatal(err)
		}
		done := h.eraseContent(c, whole, func(actor domain.UserID) bool { return subject.User == "" || subject.User == actor })
		if done.Held == 0 || done.Hold != subject {
			t.Errorf("under the hold of %s the erasure gives %+v", subject, done)
		}
		h.verify()
		if err := log.RemoveHold(t.Context(), subject, "case"); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []domain.HoldSubject{{Chat: NewChatID()}, {User: "eve"}} {
		if err := log.AddHold(t.Context(), hold(subject, "case")); err != nil {
			t.Fatal(err)
		}
	}
	if done := h.eraseContent(c, whole, nil); done.Erased == 0 {
		t.Error("nothing was held")
	}
	h.verify()
}
