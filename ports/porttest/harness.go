package porttest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// patience bounds one call. A call that takes longer fails its test.
const patience = 2 * time.Minute

// tb is the part of *testing.T and *rapid.T that the suites use.
type tb interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// harness appends to a log and to the histories that the log must match.
type harness struct {
	t     tb
	log   Log
	chats map[domain.ChatID]*history
}

func newHarness(t tb, log Log) *harness {
	return &harness{t: t, log: log, chats: make(map[domain.ChatID]*history)}
}

func (h *harness) history(c domain.ChatID) *history {
	if h.chats[c] == nil {
		h.chats[c] = newHistory()
	}
	return h.chats[c]
}

// expectation is the expected outcome of an append.
type expectation struct {
	chat     domain.ChatID
	appended ports.Appended
	err      error                           // matched with errors.Is
	stale    map[domain.Condition]domain.Seq // for [ports.ErrConflict]
}

// expect returns the expected outcome of an append. It adds the append to the chat's history if that is success.
func (h *harness) expect(a ports.Append) expectation {
	history := h.history(a.Chat)
	for _, e := range a.Events {
		if m, ok := e.Event.(domain.MessageNew); ok && len(m.Content) > domain.MaxEventBytes {
			return expectation{chat: a.Chat, err: ports.ErrTooLarge}
		}
	}
	if a.Check() != nil {
		return expectation{chat: a.Chat, err: domain.ErrInvalid}
	}
	if stale := history.stale(a); len(stale) > 0 {
		return expectation{chat: a.Chat, err: ports.ErrConflict, stale: stale}
	}
	if len(a.Events) == 0 && history.head() == 0 {
		return expectation{chat: a.Chat, err: ports.ErrConflict}
	}
	first := history.head() + 1
	for _, e := range a.Events {
		history.add(e)
	}
	history.record(a)
	if len(a.Events) == 0 {
		return expectation{chat: a.Chat}
	}
	head := history.head()
	return expectation{chat: a.Chat, appended: ports.Appended{First: first, Last: head, Ordinal: history.ordinal(head)}}
}

func (h *harness) check(want expectation, got ports.Outcome) {
	h.t.Helper()
	if !errors.Is(got.Err, want.err) || want.err == nil && got.Err != nil {
		h.t.Fatalf("append gave the error %v, want %v", got.Err, want.err)
	}
	got.Appended.Due, got.Appended.EndedTyping = domain.Entity{}, false // a hint, which a log need not give, and a value that the typing tests check
	if got.Appended != want.appended {
		h.t.Fatalf("append gave %+v, want %+v", got.Appended, want.appended)
	}
	var invalid *domain.InvalidError
	if errors.Is(want.err, domain.ErrInvalid) && !errors.As(got.Err, &invalid) {
		h.t.Fatalf("append gave the error %v, want an InvalidError", got.Err)
	}
	if !errors.Is(want.err, ports.ErrConflict) {
		return
	}
	var conflict *ports.ConflictError
	if len(want.stale) == 0 {
		if errors.As(got.Err, &conflict) {
			h.t.Fatalf("append gave the error %v, want one without a condition", got.Err)
		}
		return
	}
	if !errors.As(got.Err, &conflict) {
		h.t.Fatalf("append gave the error %v, want a ConflictError", got.Err)
	}
	if version, stale := want.stale[conflict.Condition]; !stale || version != conflict.Version || conflict.Chat != want.chat {
		h.t.Fatalf("append gave the conflict %+v, want chat %q and one of %+v", conflict, want.chat, want.stale)
	}
}

// append makes one append and checks its outcome.
func (h *harness) append(a ports.Append) ports.Appended {
	h.t.Helper()
	want := h.expect(a)
	ctx, cancel := h.bounded()
	defer cancel()
	appended, err := h.log.Append(ctx, a)
	h.check(want, ports.Outcome{Appended: appended, Err: err})
	return appended
}

// appendBatch makes a batch of appends and checks every outcome.
func (h *harness) appendBatch(batch ...ports.Append) []ports.Outcome {
	h.t.Helper()
	want := make([]expectation, len(batch))
	for i, a := range batch {
		want[i] = h.expect(a)
	}
	ctx, cancel := h.bounded()
	defer cancel()
	outcomes, err := h.log.AppendBatch(ctx, batch)
	if err != nil || len(outcomes) != len(batch) {
		h.t.Fatalf("batch of %d gave %d outcomes, error %v", len(batch), len(outcomes), err)
	}
	for i := range want {
		h.check(want[i], outcomes[i])
	}
	return outcomes
}

// adopt reads the history from the log, for chats that were written concurrently: every event must be one of the given events, and occur once.
func (h *harness) adopt(c domain.ChatID, events map[domain.EventID]ports.NewEvent) *history {
	h.t.Helper()
	found := newHistory()
	h.chats[c] = found
	seen := make(map[domain.EventID]bool)
	for {
		page := h.read(c, ports.Range{From: found.head() + 1, Limit: ports.MaxPage})
		for _, r := range page.Records {
			e, known := events[r.ID]
			if !known || seen[r.ID] {
				h.t.Fatalf("chat %q has event %q of seq %d twice or without its append", c, r.ID, r.Seq)
			}
			seen[r.ID] = true
			found.add(e)
		}
		if len(page.Records) < ports.MaxPage {
			return found
		}
	}
}

// verify compares everything that the log returns of its chats.
func (h *harness) verify() {
	h.t.Helper()
	for c, want := range h.chats {
		for seq := domain.Seq(1); ; seq += ports.MaxPage {
			h.checkRead(c, ports.Range{From: seq, Limit: ports.MaxPage})
			if seq+ports.MaxPage > want.head() {
				break
			}
		}
		h.checkRead(c, ports.Range{Backward: true, Limit: 10})
		wants := make([]ports.LoadRequest, 0, len(want.moved)+2)
		for e := range want.moved {
			wants = append(wants, ports.LoadRequest{Entity: e, Whole: true})
		}
		wants = append(wants, ports.LoadRequest{Entity: domain.MessageEntity("absent")}, ports.LoadRequest{Entity: domain.MemberEntity("absent")})
		for some := range slices.Chunk(wants, 100) {
			h.checkLoad(c, some...)
		}
		if got, want := h.members(c), want.members(); !slices.Equal(got, want) {
			h.t.Fatalf("chat %q has the members %q, want %q", c, got, want)
		}
		h.checkCount(c, 0, want.head()/2, want.head(), want.head()+1)
	}
	h.checkChats()
}

func (h *harness) checkRead(c domain.ChatID, r ports.Range) {
	h.t.Helper()
	got, want := h.read(c, r), h.history(c).page(r)
	if got.Head != want.Head {
		h.t.Fatalf("reading %+v of chat %q gave the head %d, want %d", r, c, got.Head, want.Head)
	}
	h.checkRecords(got.Records, want.Records)
}

func (h *harness) checkSearch(c domain.ChatID, f ports.Filter, r ports.Range) {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	got, err := h.log.Search(ctx, c, f, r)
	if err != nil {
		h.t.Fatalf("searching %+v in %+v of chat %q: %v", f, r, c, err)
	}
	want := h.history(c).search(f, r)
	if got.Head != want.Head {
		h.t.Fatalf("searching %+v in %+v of chat %q gave the head %d, want %d", f, r, c, got.Head, want.Head)
	}
	h.checkRecords(got.Records, want.Records)
}

func (h *harness) checkLoad(c domain.ChatID, wants ...ports.LoadRequest) {
	h.t.Helper()
	got := h.load(c, wants...)
	if head := h.history(c).head(); got.Head != head || len(got.Entities) != len(wants) {
		h.t.Fatalf("load of chat %q gave head %d and %d entities, want %d and %d", c, got.Head, len(got.Entities), head, len(wants))
	}
	for i, w := range wants {
		want := h.history(c).entity(w)
		if got.Entities[i].Version != want.Version {
			h.t.Fatalf("%s of chat %q has version %d, want %d", w.Entity, c, got.Entities[i].Version, want.Version)
		}
		if got.Entities[i].Command != want.Command {
			h.t.Fatalf("%s of chat %q has the record %+v, want %+v", w.Entity, c, got.Entities[i].Command, want.Command)
		}
		h.checkRecords(got.Entities[i].Events, want.Events)
	}
}

func (h *harness) checkRecords(got, want []ports.Record) {
	h.t.Helper()
	if len(got) != len(want) {
		h.t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			h.t.Fatalf("record %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func (h *harness) checkCount(c domain.ChatID, after ...domain.Seq) {
	h.t.Helper()
	counts := h.count(c, after...)
	if len(counts) != len(after) {
		h.t.Fatalf("%d counts of chat %q, want %d", len(counts), c, len(after))
	}
	for i, got := range counts {
		if want := h.history(c).count(after[i]); got != want {
			h.t.Fatalf("count of chat %q after %d is %+v, want %+v", c, after[i], got, want)
		}
	}
}

// checkChats compares the list of chats. It ignores chats that other tests have created.
func (h *harness) checkChats() {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	listed := make(map[domain.ChatID]bool)
	for c, err := range h.log.Chats(ctx) {
		if err != nil {
			h.t.Fatalf("listing chats: %v", err)
		}
		listed[c] = true
	}
	for c, history := range h.chats {
		if exists := history.head() > 0; listed[c] != exists {
			h.t.Fatalf("chat %q: listed is %v, want %v", c, listed[c], exists)
		}
	}
}

func (h *harness) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.t.Context(), patience)
}

func (h *harness) read(c domain.ChatID, r ports.Range) ports.Page {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	page, err := h.log.Read(ctx, c, r)
	if err != nil {
		h.t.Fatalf("reading %+v of chat %q: %v", r, c, err)
	}
	return page
}

func (h *harness) load(c domain.ChatID, wants ...ports.LoadRequest) ports.Loaded {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	loaded, err := h.log.Load(ctx, c, wants...)
	if err != nil {
		h.t.Fatalf("loading of chat %q: %v", c, err)
	}
	return loaded
}

func (h *harness) count(c domain.ChatID, after ...domain.Seq) []ports.MessageCount {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	counts, err := h.log.Count(ctx, c, after...)
	if err != nil {
		h.t.Fatalf("counting of chat %q: %v", c, err)
	}
	return counts
}

// members returns the members sorted by id, as often as the log yields them.
func (h *harness) members(c domain.ChatID) []domain.UserID {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	var members []domain.UserID
	for user, err := range h.log.Members(ctx, c) {
		if err != nil {
			h.t.Fatalf("listing members of chat %q: %v", c, err)
		}
		members = append(members, user)
	}
	slices.Sort(members)
	return members
}
