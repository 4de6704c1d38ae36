package app

import (
	"context"
	"errors"
	"fmt"

	"chatcore/domain"
	"chatcore/ports"
)

// decisions is how often a command is decided anew because an entity it depends on moved.
const decisions = 16

// command is one use case at work: the entities it needs, what it decides on them, and what it depends on.
type command struct {
	chat   domain.ChatID
	by     domain.UserID
	id     domain.CommandID // "" if the caller gave none
	wants  []ports.Want
	decide func(s *state) ([]domain.Durable, error)
	// repeats reports whether a recorded event is what this command would have recorded.
	repeats func(e domain.Durable) bool
	// unconditional names loaded entities that are no conditions of the append.
	unconditional func(domain.Entity) bool
	endsTyping    bool
}

// state is what a command found: one entity for each want, folded from its events.
type state struct {
	chat   domain.ChatID
	wants  []ports.Want
	loaded ports.Loaded
}

// run loads, decides and appends until the append holds.
func (c *Chats) run(ctx context.Context, cmd command) (Done, error) {
	if cmd.id != "" {
		cmd.wants = append(cmd.wants, ports.Want{Entity: domain.CommandEntity(cmd.id)})
	}
	var conflict error
	for range decisions {
		loaded, err := c.log.Load(ctx, cmd.chat, cmd.wants...)
		if err != nil {
			return Done{}, err
		}
		s := &state{chat: cmd.chat, wants: cmd.wants, loaded: loaded}
		if done, repeated, err := s.repeated(cmd); repeated || err != nil {
			return done, err
		}
		events, err := cmd.decide(s)
		if err != nil || len(events) == 0 {
			return Done{}, err
		}
		appended, err := c.log.Append(ctx, c.appendOf(cmd, s, events))
		switch {
		case err == nil:
			return Done{Seq: appended.Last, Changed: true}, nil
		case !errors.Is(err, ports.ErrConflict):
			return Done{}, err
		}
		conflict = err
	}
	return Done{}, fmt.Errorf("decided %d times: %w", decisions, conflict)
}

func (c *Chats) appendOf(cmd command, s *state, events []domain.Durable) ports.Append {
	a := ports.Append{Chat: cmd.chat, Events: make([]ports.NewEvent, len(events))}
	for i, w := range cmd.wants {
		if cmd.unconditional == nil || !cmd.unconditional(w.Entity) {
			a.Conditions = append(a.Conditions, ports.Condition{Entity: w.Entity, Version: s.loaded.Entities[i].Version})
		}
	}
	meta := c.meta
	meta.CausationID = cmd.id
	for i, e := range events {
		moves := domain.Moves(e)
		if cmd.id != "" {
			moves = append(moves, domain.CommandEntity(cmd.id))
		}
		a.Events[i] = ports.NewEvent{ID: domain.EventID(c.ids.NewID()), Event: e, Moves: moves, Meta: meta}
	}
	if cmd.endsTyping {
		a.EndsTyping = &ports.TypingEnd{
			ID:   domain.EventID(c.ids.NewID()),
			Stop: domain.TypingStop{Chat: cmd.chat, User: cmd.by, At: events[0].OccurredAt()},
		}
	}
	return a
}

// repeated tells what the command did when it was given before, if it was.
func (s *state) repeated(cmd command) (Done, bool, error) {
	if cmd.id == "" {
		return Done{}, false, nil
	}
	records := s.records(domain.CommandEntity(cmd.id))
	if len(records) == 0 {
		return Done{}, false, nil
	}
	if !cmd.repeats(records[0].Event) {
		return Done{}, false, &domain.Refusal{
			Reason: domain.ErrCommandReused,
			Detail: fmt.Sprintf("command %q of chat %q recorded something else at seq %d", cmd.id, cmd.chat, records[0].Seq),
		}
	}
	return Done{Seq: records[len(records)-1].Seq, Changed: true, Duplicate: true}, true, nil
}

func (s *state) records(e domain.Entity) []ports.Record {
	for i, w := range s.wants {
		if w.Entity == e {
			return s.loaded.Entities[i].Events
		}
	}
	return nil
}

func (s *state) theChat() domain.Chat {
	return *fold(&domain.Chat{ID: s.chat}, s.records(domain.ChatEntity()))
}

func (s *state) member(id domain.UserID) domain.Member {
	return *fold(&domain.Member{User: id}, s.records(domain.MemberEntity(id)))
}

func (s *state) message(id domain.MessageID) domain.Message {
	return *fold(&domain.Message{Chat: s.chat, ID: id}, s.records(domain.MessageEntity(id)))
}

func (s *state) reactions(id domain.MessageID) domain.Reactions {
	return *fold(&domain.Reactions{}, s.records(domain.ReactionsEntity(id)))
}

func (s *state) readMark(id domain.UserID) domain.ReadMark {
	return *fold(&domain.ReadMark{}, s.records(domain.ReadEntity(id)))
}

// aggregate is a state that events fold into.
type aggregate interface {
	Apply(seq domain.Seq, e domain.Durable)
}

func fold[A aggregate](into A, records []ports.Record) A {
	for _, r := range records {
		into.Apply(r.Seq, r.Event)
	}
	return into
}

// want names entities to load whole.
func want(entities ...domain.Entity) []ports.Want {
	wants := make([]ports.Want, 0, len(entities)+1)
	for _, e := range entities {
		wants = append(wants, ports.Want{Entity: e})
	}
	return wants
}

// update recognises a change of the chat by the same actor.
func update(by domain.UserID, change domain.Change, also func(domain.ChatUpdate) bool) func(domain.Durable) bool {
	return func(e domain.Durable) bool {
		u, ok := e.(domain.ChatUpdate)
		return ok && u.Actor == by && u.Change == change && (also == nil || also(u))
	}
}
