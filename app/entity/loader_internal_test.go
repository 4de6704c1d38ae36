package entity

import (
	"reflect"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// TestEntities_CachedStatesAreNotChanged folds and learns an event on states that came from the cache: other calls may be reading these.
func TestEntities_CachedStatesAreNotChanged(t *testing.T) {
	key := entityKey{"c", domain.ReactionsEntity("m")}
	event := domain.MessageReaction{Chat: "c", Message: "m", User: "bob", Emoji: "👍", Action: domain.ReactionAdd}
	for name, move := range map[string]func(e *Loader, s *Versioned){
		"a fold": func(e *Loader, s *Versioned) {
			_ = e.fold("c", s, ports.EntityHistory{Version: 2, Events: []ports.Record{{Seq: 2, Event: event}}})
		},
		"an append": func(e *Loader, s *Versioned) { e.Learn("c", s, 2, event) },
	} {
		e := NewLoader(nil, nil, 1<<20)
		state := domain.ReactionsOf(map[domain.Reaction]domain.Seq{{User: "ann", Emoji: "👍"}: 1})
		e.cache.put(key, Versioned{Entity: key.entity, Version: 1, State: state})
		s := Versioned{Entity: key.entity}
		e.cache.get(key, &s)
		before := state.Groups()
		move(e, &s)
		if after := state.Groups(); !reflect.DeepEqual(after, before) {
			t.Errorf("%s changed the cached state from %v to %v", name, before, after)
		}
		e.cache.get(key, &s)
		if moved, _ := s.State.(*domain.Reactions); s.Version != 2 || moved.Len() != 2 {
			t.Errorf("after %s, cached is version %d: %v", name, s.Version, moved.Groups())
		}
	}
}
