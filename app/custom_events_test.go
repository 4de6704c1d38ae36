package app_test

import (
	"context"
	"errors"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// recorded is a log that keeps its last append.
type recorded struct {
	*memory.Log
	last ports.Append
}

func (r *recorded) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	r.last = a
	return r.Log.Append(ctx, a)
}

// TestRecord_EveryEventMovesSomething has an event without an entity be recorded under a command's id, by which it is found again after a lost reply.
func TestRecord_EveryEventMovesSomething(t *testing.T) {
	log := &recorded{Log: memory.New(wireformat.New(), clock{}, nil)}
	chats := chatsOn(log, entity.NewLoader(log, nil, 1<<20))
	ctx := t.Context()
	if _, err := chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	none := domain.Entity{}
	seen := map[domain.Entity]bool{}
	for range 2 {
		if _, err := chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: poll{}}); err != nil {
			t.Fatal(err)
		}
		seen[log.last.Command] = true
	}
	if len(seen) != 2 || seen[none] {
		t.Errorf("the commands are %v", seen)
	}
	if _, err := chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: poll{}, Entity: "p"}); err != nil || log.last.Command != none {
		t.Errorf("with an entity, the command is %v, error %v", log.last.Command, err)
	}
	if _, err := chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: poll{}, Command: "mine"}); err != nil || log.last.Command != domain.CommandEntity("ann", "mine") {
		t.Errorf("with an id, the command is %v, error %v", log.last.Command, err)
	}
	if _, err := chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: poll{}, Entity: "a b"}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an entity with a space: %v", err)
	}
}
