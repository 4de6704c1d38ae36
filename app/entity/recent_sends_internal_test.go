package entity

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// sentRecord is the event that sent message n at seq n + 1.
func sentRecord(n int) ports.Record {
	event := domain.MessageNew{Chat: "c", Message: id(n), Sender: "ada", Content: "content"}
	return ports.Record{ID: domain.EventID(fmt.Sprint("e", n)), Seq: domain.Seq(n) + 1, Ordinal: domain.Ordinal(n), Event: event, Meta: ports.Meta{CorrelationID: "request"}} //nolint:gosec // small
}

// TestRecentSends_AreStates remembers as many sends as there is room for, and forgets the oldest first. A load would give the same states.
func TestRecentSends_AreStates(t *testing.T) {
	e := NewLoader(nil, nil, 1<<20)
	cached := func(n int) (Versioned, bool) {
		entities := []Versioned{{Entity: domain.MessageEntity(id(n))}}
		all := e.Cached("c", entities)
		return entities[0], all
	}
	known := func(n int, want bool) {
		t.Helper()
		got, found := cached(n)
		if found != want {
			t.Fatalf("message %d is remembered: %v, want %v", n, found, want)
		}
		if !found {
			return
		}
		r := sentRecord(n)
		state := domain.NewState("c", got.Entity)
		state.Apply(r.Seq, r.Event)
		if got.Version != r.Seq || !reflect.DeepEqual(got.State, state) || !reflect.DeepEqual(got.Known(), []ports.Record{r}) {
			t.Errorf("message %d is %+v", n, got)
		}
	}
	note := func(from, to int) {
		for n := from; n < to; n++ {
			e.NoteSend(sentRecord(n), e.Epoch())
		}
	}
	known(0, false)
	note(0, rememberedSends)
	known(0, true)
	known(0, true)
	known(rememberedSends-1, true)
	note(rememberedSends, rememberedSends+2)
	known(0, false)
	known(1, false)
	known(2, true)
	known(rememberedSends+1, true)
	if got, _ := cached(2); len(e.sends.places) != rememberedSends || len(e.sends.last) != rememberedSends || got.State != e.sends.last[2].state {
		t.Errorf("%d places, %d sends", len(e.sends.places), len(e.sends.last))
	}
	for _, other := range []Versioned{{Entity: domain.ReactionsEntity(id(2))}, {Entity: domain.MessageEntity(id(2)), Latest: true}} {
		if all := e.Cached("c", []Versioned{other}); all {
			t.Errorf("%+v is remembered", other)
		}
	}
	if all := e.Cached("d", []Versioned{{Entity: domain.MessageEntity(id(2))}}); all {
		t.Error("a message of another chat is remembered")
	}

	entities := []Versioned{{Entity: domain.MessageEntity(id(2))}}
	e.Cached("c", entities)
	e.Learn("c", &entities[0], 9000, domain.MessageEdit{Chat: "c", Message: id(2), Content: "edited", Revision: 1})
	if got, _ := cached(2); got.Version != 9000 || got.Known() != nil {
		t.Errorf("an edited message is %+v", got)
	}

	before := e.Epoch()
	e.Invalidate()
	known(3, false)
	e.NoteSend(sentRecord(3), before) // was validated before
	known(3, false)
	note(3, 4)
	known(3, true)
	entities[0] = Versioned{Entity: domain.MessageEntity(id(3)), Epoch: before}
	if e.sends.get("c", &entities[0]) {
		t.Error("a state of one epoch fills an entity of another")
	}
}

// TestRecentSends_OfSmallMessages remembers no large message, none that takes more than its content, and no other event.
func TestRecentSends_OfSmallMessages(t *testing.T) {
	long := domain.Content(strings.Repeat("x", rememberedBytes))
	for name, test := range map[string]struct {
		event domain.Durable
		want  bool
	}{
		"of the largest size": {domain.MessageNew{Content: long}, true},
		"larger":              {domain.MessageNew{Content: long, ClientMeta: "1"}, false},
		"with a mention":      {domain.MessageNew{Mentions: []domain.UserID{"bob"}}, false},
		"with an attachment":  {domain.MessageNew{Attachments: []domain.Attachment{{Name: "a"}}}, false},
		"a deletion":          {domain.MessageDelete{}, false},
	} {
		e := NewLoader(nil, nil, 1<<20)
		e.NoteSend(ports.Record{Seq: 1, Event: test.event}, 0)
		if found := e.Cached("", []Versioned{{Entity: domain.MessageEntity("")}}); found != test.want {
			t.Errorf("%s: remembered %v", name, found)
		}
	}
	without := NewLoader(nil, nil, -1)
	as := without.At(1)
	for _, e := range []*Loader{without, as} {
		e.NoteSend(sentRecord(0), 0)
	}
	if as.Cached("c", []Versioned{{Entity: domain.MessageEntity(id(0))}}) {
		t.Error("as of a seq, sends are remembered")
	}
}
