package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// decisions is how often a command is decided anew because an entity it depends on moved.
const decisions = 16

// command is one use case at work: the entities it needs, what it decides on them, and what it depends on.
type command struct {
	name string
	chat domain.ChatID
	by   domain.UserID
	id   domain.CommandID // "" if the caller gave none

	wants  wanted
	expect domain.Entity // expected not to exist, if not zero
	decide func(s *state) ([]domain.Durable, error)
	args   arguments // what id stands for, beside the name
	// unconditional names loaded entities that are no conditions of the append.
	unconditional func(domain.Entity) bool
	conditions    []ports.Condition // of entities that are not loaded
	endsTyping    bool
}

// state is what a command found: a slot for each entity that it wants.
type state struct {
	chat  domain.ChatID
	slots []slot
	head  domain.Seq // 0 if all came from the cache
	found domain.Seq // what a decision without events was about

	// Room for what nearly every command needs, so that it takes one allocation.
	slotRoom      [6]slot
	conditionRoom [6]ports.Condition
	eventRoom     [1]ports.NewEvent
	moveRoom      [4]domain.Entity
}

func newState(cmd *command) *state {
	s := &state{chat: cmd.chat}
	s.slots = s.slotRoom[:0]
	for _, entities := range [...][]domain.Entity{cmd.wants.room[:cmd.wants.n], cmd.wants.more} {
		for _, e := range entities {
			latest := e.Kind == domain.KindRead || e.Kind == domain.KindReceipt // what came before does not matter
			s.slots = append(s.slots, slot{entity: e, expect: e == cmd.expect, latest: latest})
		}
	}
	if cmd.id != "" {
		s.slots = append(s.slots, slot{entity: cmd.entity(), expect: true})
	}
	return s
}

// entity is the command as the log records it.
func (c *command) entity() domain.Entity { return domain.CommandEntity(c.by, c.id) }

// run decides and appends until the append holds. The first decision is taken on what is cached, if everything is: the append checks
// the versions it was taken on. Only what it records counts; a refusal, or that nothing is to be done, is decided again on what the log
// says. A command with an id is recorded even if it has no events, so that it gives the same answer when it is given again. What was found
// recorded, or needs no record, is confirmed before it is acknowledged. A refusal is not recorded: the same command may succeed later.
func (c *Chats) run(ctx context.Context, cmd command) (done Done, err error) {
	ctx, end := c.observe(ctx, cmd.name, cmd.chat)
	defer func() { end(err) }()
	s := newState(&cmd)
	fresh := !c.entities.cached(cmd.chat, s.slots)
	var conflict error
	for range decisions {
		repeated := false
		if fresh {
			if s.head, err = c.entities.load(ctx, cmd.chat, s.slots); err != nil {
				return Done{}, err
			}
			if done, repeated, err = s.repeated(&cmd); err != nil {
				return Done{}, err
			}
		}
		var events []domain.Durable
		if !repeated {
			events, err = cmd.decide(s)
			if (err != nil || len(events) == 0) && !fresh {
				fresh = true
				continue
			}
			if done = (Done{Seq: s.found}); err != nil {
				return done, err
			}
		}
		switch {
		case len(events) > 0:
			done, err = c.append(ctx, &cmd, s, events)
		case cmd.id != "" && !repeated:
			_, err = c.append(ctx, &cmd, s, nil)
		default:
			err = c.confirm(ctx, s, done.Seq)
		}
		switch {
		case err == nil:
			return done, nil
		case !errors.Is(err, ports.ErrConflict):
			return Done{}, err
		}
		conflict, fresh = err, true
		var stale *ports.ConflictError
		switch {
		case !errors.As(err, &stale): // what the versions mean may have changed
			s = newState(&cmd)
			c.entities.cached(cmd.chat, s.slots)
		case s.slot(stale.Condition.Entity) == nil: // one that the caller gave: deciding again does not help
			return Done{}, err
		}
	}
	return Done{}, fmt.Errorf("decided %d times: %w", decisions, conflict)
}

// append records what was decided: events, a command with an id, or both.
func (c *Chats) append(ctx context.Context, cmd *command, s *state, events []domain.Durable) (Done, error) {
	a := c.appendOf(cmd, s, events)
	appended, err := c.log.Append(ctx, a)
	if err != nil {
		return Done{}, err
	}
	c.learn(cmd, s, events, appended)
	if effects := c.effects.Load(); effects != nil {
		effects.Appended(cmd.chat, appended.First, a.Events) //nolint:contextcheck // effects outlive the command
	}
	if cmd.endsTyping {
		c.typists.leave(Typing{Chat: cmd.chat, By: cmd.by})
	}
	if appended.EndedTyping { // who is not told of it sees it expire
		_ = c.live.Publish(ctx, domain.TypingStop{Chat: cmd.chat, User: cmd.by, At: events[0].OccurredAt()}, c.meta)
	}
	return Done{Seq: appended.Last, Changed: true}, nil
}

// confirm makes what was found in the log as safe as an append.
func (c *Chats) confirm(ctx context.Context, s *state, at domain.Seq) error {
	if c.confirms == nil {
		return nil
	}
	return c.confirms.Confirm(ctx, ports.Found{Chat: s.chat, At: ports.Appended{First: at, Last: at}, Epoch: s.slots[0].epoch})
}

// learn takes the command's own doing into the cache. Only what was a condition is known for certain.
func (c *Chats) learn(cmd *command, s *state, events []domain.Durable, at ports.Appended) {
	for i, e := range events {
		c.entities.moves.note(e, at.First+domain.Seq(i)) //nolint:gosec // an index
		for k := range s.slots {
			known := &s.slots[k]
			if known.state == nil || known.expect || known.latest || cmd.unconditional != nil && cmd.unconditional(known.entity) {
				continue
			}
			if domain.MovesEntity(e, known.entity) {
				c.entities.learn(cmd.chat, known, at.First+domain.Seq(i), e) //nolint:gosec // an index
			}
		}
	}
	if at.Due.Kind != 0 {
		c.entities.requestSnapshot(cmd.chat, at.Due, nil)
	}
}

func (c *Chats) appendOf(cmd *command, s *state, events []domain.Durable) ports.Append {
	a := ports.Append{Chat: cmd.chat, Epoch: s.slots[0].epoch, Conditions: s.conditionRoom[:0], Events: s.eventRoom[:0]}
	for _, k := range s.slots {
		switch {
		case k.entity.Kind == domain.KindCommand:
			a.Command, a.Fingerprint = k.entity, fingerprint(cmd.name, cmd.args)
		case cmd.unconditional == nil || !cmd.unconditional(k.entity):
			a.Conditions = append(a.Conditions, ports.Condition{Entity: k.entity, Version: k.version})
		}
	}
	a.Conditions = append(a.Conditions, cmd.conditions...)
	meta := c.meta
	meta.CausationID = cmd.id
	moved := s.moveRoom[:0]
	for _, e := range events {
		start := len(moved)
		moved = domain.AppendMoves(moved, e)
		a.Events = append(a.Events, ports.NewEvent{
			ID: domain.EventID(c.ids.NewID()), Event: e, Moves: moved[start:len(moved):len(moved)], Meta: meta,
		})
	}
	if cmd.endsTyping {
		a.EndsTyping = cmd.by
	}
	return a
}

// repeated returns the first answer of a command that was given before, and reports whether it was. It returns
// [domain.ErrCommandReused] if the id was another command's.
func (s *state) repeated(cmd *command) (Done, bool, error) {
	if cmd.id == "" {
		return Done{}, false, nil
	}
	recorded := s.slot(cmd.entity())
	switch {
	case recorded.version == 0:
		return Done{}, false, nil
	case recorded.command.Fingerprint != fingerprint(cmd.name, cmd.args):
		return Done{}, false, &domain.Refusal{
			Reason: domain.ErrCommandReused,
			Detail: fmt.Sprintf("user %q gave commandId %q in chat %q to another command, or to %s with other arguments", cmd.by, cmd.id, cmd.chat, cmd.name),
		}
	case recorded.command.Events == 0:
		return Done{Duplicate: true}, true, nil
	}
	return Done{Seq: recorded.version, Changed: true, Duplicate: true}, true, nil
}

func (s *state) slot(e domain.Entity) *slot {
	for i := range s.slots {
		if s.slots[i].entity == e {
			return &s.slots[i]
		}
	}
	return nil
}

// as gives the state of a wanted entity.
func as[S domain.State](s *state, e domain.Entity) S {
	found, _ := s.slot(e).state.(S)
	return found
}

func (s *state) theChat() domain.Chat { return *as[*domain.Chat](s, domain.ChatEntity()) }

func (s *state) member(id domain.UserID) domain.Member {
	return *as[*domain.Member](s, domain.MemberEntity(id))
}

func (s *state) message(id domain.MessageID) domain.Message {
	if m := as[*domain.Message](s, domain.MessageEntity(id)); m != nil {
		return *m
	}
	return domain.Message{Chat: s.chat, ID: id} // expected not to exist
}

func (s *state) reactions(id domain.MessageID) *domain.Reactions {
	return as[*domain.Reactions](s, domain.ReactionsEntity(id))
}

func (s *state) readMark(id domain.UserID) domain.ReadMark {
	return *as[*domain.ReadMark](s, domain.ReadEntity(id))
}

// wanted are the entities that a command needs. The first few of them need no allocation.
type wanted struct {
	room [4]domain.Entity
	n    int
	more []domain.Entity
}

func want(entities ...domain.Entity) (w wanted) {
	w.n = copy(w.room[:], entities)
	if rest := entities[w.n:]; len(rest) > 0 {
		w.more = slices.Clone(rest)
	}
	return w
}
