package app_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// confirming is a log that counts loads and appends, records confirmations, and can refuse both.
type confirming struct {
	*memory.Log
	loads, appends int
	found          []ports.LoadRef
	refuse         error  // of confirmations
	conflict       error  // of the next append
	before         func() // called once before the next append
	epoch          uint64 // of the last append
}

func (c *confirming) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	c.loads++
	return c.Log.Load(ctx, chat, wants...)
}

func (c *confirming) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	once(&c.before)
	c.appends++
	c.epoch = a.Epoch
	if err := c.conflict; err != nil {
		c.conflict = nil
		return ports.Appended{}, err
	}
	return c.Log.Append(ctx, a)
}

func (c *confirming) Confirm(_ context.Context, found ports.LoadRef) error {
	c.found = append(c.found, found)
	return c.refuse
}

// heard is a live bus that keeps the published events.
type heard struct{ events []domain.Ephemeral }

func (h *heard) Publish(_ context.Context, e domain.Ephemeral, _ ports.Meta) error {
	h.events = append(h.events, e)
	return nil
}

type deciding struct {
	t        *testing.T
	log      *confirming
	entities *entity.Loader
	live     *heard
	chats    *app.Chats
}

func newDeciding(t *testing.T) *deciding {
	t.Helper()
	d := &deciding{t: t, log: &confirming{Log: memory.New(wireformat.New(), clock{}, nil)}, live: &heard{}}
	d.entities = entity.NewLoader(d.log, nil, 1<<20)
	d.chats = app.NewChats(d.log, d.entities, d.live, d.log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	d.did(d.chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Title: "A", Members: []domain.UserID{"bob"}}))
	return d
}

func (d *deciding) did(_ any, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deciding) send(id domain.MessageID) (app.Sent, error) {
	return d.chats.Send(d.t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: id, Content: "x"})
}

// TestRun_ConfirmsWhatItFound checks that a command that records nothing is acknowledged only once its result is confirmed, and that a command that
// records something is not confirmed a second time.
func TestRun_ConfirmsWhatItFound(t *testing.T) {
	d := newDeciding(t)
	sent, err := d.send("m")
	d.did(nil, err)
	if len(d.log.found) != 0 {
		t.Errorf("a send had %v confirmed", d.log.found)
	}
	again, err := d.send("m")
	d.did(nil, err)
	want := []ports.LoadRef{{Chat: "c", At: ports.Appended{First: sent.Seq, Last: sent.Seq}}}
	if !again.Duplicate || again.Seq != sent.Seq || !reflect.DeepEqual(d.log.found, want) {
		t.Errorf("the repetition gave %+v and had %+v confirmed, want %+v", again, d.log.found, want)
	}
	d.log.refuse = ports.ErrUnconfirmed
	if _, err := d.send("m"); !errors.Is(err, ports.ErrUnconfirmed) {
		t.Errorf("a repetition that cannot be confirmed: %v", err)
	}
	if _, err := d.chats.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "ann", Title: "A"}); !errors.Is(err, ports.ErrUnconfirmed) {
		t.Errorf("a command that changes nothing and cannot be confirmed: %v", err)
	}
}

// TestRun_DecidesOnTheCache counts loads: events that a command recorded need not be loaded for the next one.
func TestRun_DecidesOnTheCache(t *testing.T) {
	d := newDeciding(t)
	ctx := t.Context()
	edit := func(text string) {
		d.did(d.chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ann", MessageID: "m", Content: text}))
	}
	rename := func(title string) { d.did(d.chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ann", Title: title})) }
	d.did(d.send("m"))
	edit("a")
	rename("B")
	d.log.loads = 0
	d.did(d.send("m2"))
	for _, text := range []string{"b", "c", "d"} {
		edit(text)
		rename(text)
	}
	if d.log.loads != 0 {
		t.Errorf("%d loads for commands about what is in the cache", d.log.loads)
	}
	m, err := app.NewQueries(d.log, d.entities, projection.Views{}).Message(ctx, "c", "m")
	if err != nil || m.Revision != 4 || m.Content != "d" {
		t.Errorf("the message is %+v, error %v", m, err)
	}
}

// TestRun_ConflictWithoutAVersion has the log refuse an append because its history is another one: the command is decided anew on that.
func TestRun_ConflictWithoutAVersion(t *testing.T) {
	d := newDeciding(t)
	d.did(d.send("m"))
	d.entities.Invalidate() // as the watcher of the history does
	d.log.conflict = ports.ErrConflict
	d.log.appends = 0
	if sent, err := d.send("m2"); err != nil || sent.Seq != 4 || d.log.appends != 2 {
		t.Errorf("after a conflict without a version: %+v, error %v, %d appends", sent, err, d.log.appends)
	}
	if d.log.epoch != d.entities.Epoch() {
		t.Errorf("the second append is of epoch %d, want %d", d.log.epoch, d.entities.Epoch())
	}
}

// TestRun_DecidesOnTheNewHistory replaces the history between a decision and its append. Bob is an admin in the earlier one, was removed in the later
// one, and both have his membership at the same version: he must not send.
func TestRun_DecidesOnTheNewHistory(t *testing.T) {
	d, later := newDeciding(t), newDeciding(t)
	ctx := t.Context()
	d.did(d.chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ann", User: "bob", Role: domain.RoleAdmin}))
	d.did(later.chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ann", User: "bob"}))
	d.log.conflict = ports.ErrConflict
	d.log.before = func() {
		d.log.Log = later.log.Log
		d.entities.Invalidate()
	}
	if sent, err := d.chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", MessageID: "m", Content: "x"}); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("bob's message is %+v, error %v", sent, err)
	}
}

// TestRun_RecordsItsCommand has each event name the command that caused it.
func TestRun_RecordsItsCommand(t *testing.T) {
	d := newDeciding(t)
	done, err := d.chats.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "ann", Title: "B", Command: "cmd-1"})
	d.did(nil, err)
	page, err := d.log.Read(t.Context(), "c", ports.Range{From: done.Seq, Limit: 1})
	if err != nil || len(page.Records) != 1 || page.Records[0].Meta.CausationID != "cmd-1" {
		t.Errorf("the event is %+v, error %v", page.Records, err)
	}
}

// poll is a custom event.
type poll struct{}

func (poll) Custom() (domain.Custom, error) {
	return domain.Custom{Type: "poll:created", Version: 1, Data: "{}"}, nil
}

// TestRecord_ConditionOfTheCaller has a condition that the caller gave not hold: deciding again does not help.
func TestRecord_ConditionOfTheCaller(t *testing.T) {
	d := newDeciding(t)
	ctx := t.Context()
	first, err := d.chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: poll{}, Entity: "p", Conditions: []domain.Condition{{Entity: domain.CustomEntity("p")}}})
	d.did(nil, err)
	d.log.appends = 0
	_, err = d.chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: poll{}, Entity: "p", Conditions: []domain.Condition{{Entity: domain.CustomEntity("p")}}})
	var conflict *ports.ConflictError
	if !errors.As(err, &conflict) || conflict.Condition.Entity != domain.CustomEntity("p") || conflict.Version != first.Seq || d.log.appends != 1 {
		t.Errorf("%v after %d appends", err, d.log.appends)
	}
}

// TestSend_EndsTyping publishes one stop for a send of a typing user, and none otherwise. The user may start again at once; no other command ends
// typing, or the interval between two starts.
func TestSend_EndsTyping(t *testing.T) {
	d := newDeciding(t)
	ctx, typing := t.Context(), domain.Typing{Chat: "c", Actor: "ann"}
	start := func(want bool) {
		t.Helper()
		if published, err := d.chats.StartTyping(ctx, typing); err != nil || published != want {
			t.Errorf("a start is told: %t, error %v, want %t", published, err, want)
		}
	}
	d.did(d.send("m"))
	start(true)
	d.did(d.chats.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "👍"}))
	if len(d.live.events) != 1 {
		t.Errorf("after a start and a reaction, published were %+v", d.live.events)
	}
	start(false)
	d.did(d.send("m2"))
	start(true)
	var stops []domain.TypingStop
	for _, e := range d.live.events {
		if stop, ok := e.(domain.TypingStop); ok {
			stops = append(stops, stop)
		}
	}
	if len(d.live.events) != 3 || len(stops) != 1 || stops[0].Chat != "c" || stops[0].User != "ann" || stops[0].At.IsZero() {
		t.Errorf("published were %+v", d.live.events)
	}
}

// stepped is a log that calls a function before each append. Its error is that of the append; beyond the last one appends go on.
type stepped struct {
	*memory.Log
	steps   []func(ports.Append) error
	loaded  func() // called once after the next load
	appends int

	entities int // of the last load
}

func (s *stepped) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	defer once(&s.loaded)
	s.entities = len(wants)
	return s.Log.Load(ctx, chat, wants...)
}

func (s *stepped) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	s.appends++
	if len(s.steps) > 0 {
		step := s.steps[0]
		s.steps = s.steps[1:]
		if err := step(a); err != nil {
			return ports.Appended{}, err
		}
	}
	return s.Log.Append(ctx, a)
}

// TestReact_QueuesAfterAConflict has a reaction that conflicted delay another one of this process that conflicts too, to the same message: that one
// ends with its context and does not append again meanwhile. The next reaction finds the queue free.
func TestReact_QueuesAfterAConflict(t *testing.T) {
	log := &stepped{Log: memory.New(wireformat.New(), clock{}, nil)}
	policy := app.Policy{Caps: app.Caps{ReactionsPerUser: 1}} // every reaction then depends on those before
	chats := app.NewChats(log, entity.NewLoader(log, nil, 1<<20), silent{}, log.Typing(), clock{}, ids{}, nil, policy, nil)
	did := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	did(chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	did(chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}))
	conflict := func(a ports.Append) error {
		return &ports.ConflictError{Chat: a.Chat, Condition: a.Conditions[0], Version: 99}
	}
	ctx, cancel := context.WithCancel(t.Context())
	log.appends = 0
	log.steps = []func(ports.Append) error{
		conflict, // ann's first
		func(ports.Append) error { // ann's second, which she makes while she holds the queue
			_, err := chats.React(ctx, domain.React{Chat: "c", Actor: "bob", MessageID: "m", Emoji: "👍"})
			if !errors.Is(err, context.Canceled) || log.appends != 3 {
				t.Errorf("bob's reaction ended with %v after %d appends of both, want %v after 3", err, log.appends, context.Canceled)
			}
			return nil
		},
		func(a ports.Append) error { // bob's
			log.loaded = cancel
			return conflict(a)
		},
	}
	did(chats.React(t.Context(), domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "👍"}))
	log.steps = []func(ports.Append) error{conflict}
	did(chats.React(t.Context(), domain.React{Chat: "c", Actor: "bob", MessageID: "m", Emoji: "👍"}))
}

// unreadableAt is a log with an event that this program cannot read.
type unreadableAt struct {
	*memory.Log
	seq domain.Seq
}

func (u *unreadableAt) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	loaded, err := u.Log.Load(ctx, chat, wants...)
	for _, h := range loaded.Entities {
		for i := range h.Events {
			if h.Events[i].Seq == u.seq {
				h.Events[i].Event = domain.Unknown{Chat: chat, Type: "chat:update", Version: 9, Newer: true}
			}
		}
	}
	return loaded, err
}

// TestRun_UnreadableMembership has memberships that only a newer program can read. Members and possible members get that error; an outsider learns
// nothing about the membership of another user.
func TestRun_UnreadableMembership(t *testing.T) {
	log := &unreadableAt{Log: memory.New(wireformat.New(), clock{}, nil)}
	chats := chatsOn(log, entity.NewLoader(log, nil, 0))
	ctx := t.Context()
	if _, err := chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	added, err := chats.Add(ctx, domain.Add{Chat: "c", Actor: "ann", User: "cem"})
	if err != nil {
		t.Fatal(err)
	}
	remove := func(by domain.UserID) func() error {
		return func() error {
			_, err := chats.Remove(ctx, domain.Remove{Chat: "c", Actor: by, User: "cem"})
			return err
		}
	}
	for name, test := range map[string]struct {
		seq  domain.Seq
		do   func() error
		want error
	}{
		"a member about it": {added.Seq, remove("ann"), ports.ErrNewerVersion},
		"whoever it is of": {added.Seq, func() error {
			_, err := chats.Send(ctx, domain.Send{Chat: "c", Actor: "cem", Content: "x"})
			return err
		}, ports.ErrNewerVersion},
		"an outsider": {added.Seq, remove("eve"), domain.ErrNotMember},
		"somebody who creates a chat that is there": {1, func() error {
			_, err := chats.Create(ctx, domain.Create{Chat: "c", Actor: "eve"})
			return err
		}, ports.ErrNewerVersion},
	} {
		log.seq = test.seq
		if err := test.do(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
