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

// run decides and appends until the append succeeds. The first decision uses cached states, if all are cached: the append checks their versions. Only
// recorded events count; a refusal, or a decision without events, is decided again on the log's state. A command with an id is recorded even if it
// has no events, so that it returns the same result when it is given again. A result that was found recorded, or needs no record, is confirmed before
// it is acknowledged. A refusal is not recorded: the same command may succeed later.
func (c *Chats) run(ctx context.Context, cmd command) (done Done, err error) {
	ctx, end := c.observe(ctx, cmd.name, cmd.chat)
	defer func() { end(err) }()
	if err = cmd.limits.before(ctx); err == nil {
		done, err = c.attempt(ctx, &cmd)
		done, err = cmd.limits.settle(ctx, done, err)
	}
	if cmd.limits.returned(err) && !cmd.loaded {
		err = c.hideFromOutsider(ctx, &cmd, err)
	}
	return done, err
}

func (c *Chats) attempt(ctx context.Context, cmd *command) (done Done, err error) {
	if cmd.prepare != nil {
		if err := cmd.prepare(ctx); err != nil {
			return Done{}, err
		}
	}
	s := newState(cmd)
	fresh := !c.entities.Cached(cmd.chat, s.entities) || !c.refresh(ctx, cmd, s, 0)
	var conflict error
	for range decisions {
		repeated := false
		if fresh {
			if err = c.load(ctx, cmd, s); err != nil {
				return Done{}, err
			}
			if done, repeated, err = s.repeated(cmd); err != nil {
				return Done{}, err
			}
			cmd.loaded = true
		}
		if cmd.gate.Kind != "" && c.policy.Gate != nil {
			reload, err := c.askGate(ctx, cmd, s, fresh)
			if reload || err != nil && !fresh {
				fresh = true
				continue
			}
			if err != nil && !repeated && !s.changesNothing(cmd) {
				return Done{}, err
			}
		}
		var events []domain.Durable
		if !repeated {
			events, err = cmd.decide(s)
			if err == nil && len(events) > 0 && len(cmd.joins) > 0 {
				err = c.checkChats(ctx, cmd.joins, events)
			}
			if (err != nil || len(events) == 0) && !fresh {
				fresh = true
				continue
			}
			if done = (Done{Seq: s.found}); err != nil {
				return done, err
			}
		}
		if len(events) > 0 && s.contended(cmd) {
			release, err := cmd.queue(ctx)
			if err != nil {
				return Done{}, err
			}
			defer release() //nolint:revive // once: queue is nil from here on
			cmd.queue, fresh = nil, !c.refresh(ctx, cmd, s, 0)
			continue
		}
		switch {
		case len(events) > 0:
			done, err = c.append(ctx, cmd, s, events)
		case cmd.id != "" && !repeated:
			_, err = c.append(ctx, cmd, s, nil)
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
		s.conflicts++
		var stale *ports.ConflictError
		switch {
		case !errors.As(err, &stale): // the meaning of versions may have changed
			conflicts := s.conflicts
			s = newState(cmd)
			s.conflicts = conflicts
			c.entities.Cached(cmd.chat, s.entities)
		case s.entity(stale.Condition.Entity) == nil: // one that the caller gave: deciding again does not help
			return Done{}, err
		case stale.Condition.Entity == cmd.hot && stale.Version > stale.Condition.Version: // a lower one has lost events
			fresh = !c.refresh(ctx, cmd, s, stale.Version)
		}
	}
	return Done{}, fmt.Errorf("decided %d times: %w", decisions, conflict)
}

// load brings the entities up to date. An entity that an event moved which only a newer program can read is [ports.ErrNewerVersion], but not for a
// non-member: outsiders learn nothing about messages and members. The existence of an entity is known even if its events cannot be read.
func (c *Chats) load(ctx context.Context, cmd *command, s *state) error {
	for i := range s.entities {
		c.entities.TakeNewer(cmd.chat, &s.entities[i])
	}
	head, unread, err := c.entities.Fill(ctx, cmd.chat, s.entities)
	if err != nil {
		return err
	}
	s.head = head
	for i := range s.entities {
		u := unread[i]
		switch {
		case u == nil || s.entities[i].Exists:
		case s.outsider(cmd.by, unread):
			return domain.NotMember(cmd.chat, cmd.by)
		default:
			return &u.NewerVersionError
		}
	}
	return nil
}

// append records the decision: events, a command with an id, or both.
func (c *Chats) append(ctx context.Context, cmd *command, s *state, events []domain.Durable) (Done, error) {
	a := c.appendOf(cmd, s, events)
	do := c.log.Append
	if cmd.append != nil {
		do = cmd.append
	}
	appended, err := cmd.limits.append(ctx, a, do)
	if err != nil {
		return Done{}, err
	}
	c.learn(cmd, s, a.Events, appended)
	if effects := c.effects.Load(); effects != nil {
		effects.Appended(cmd.chat, appended.First, a.Events) //nolint:contextcheck // effects outlive the command
	}
	if cmd.endsTyping {
		c.typists.leave(domain.Typing{Chat: cmd.chat, Actor: cmd.by})
	}
	if appended.EndedTyping { // listeners that miss it see the mark expire
		_ = c.live.Publish(ctx, domain.TypingStop{Chat: cmd.chat, User: cmd.by, At: events[0].OccurredAt()}, c.meta)
	}
	return Done{Seq: appended.Last, Changed: true}, nil
}

// confirm makes a result that was found in the log as safe as an append.
func (c *Chats) confirm(ctx context.Context, s *state, at domain.Seq) error {
	if c.confirms == nil {
		return nil
	}
	return c.confirms.Confirm(ctx, ports.LoadRef{Chat: s.chat, At: ports.Appended{First: at, Last: at}, Epoch: s.entities[0].Epoch})
}

// learn updates the cache with the command's own events. Only states that were conditions are known for certain.
func (c *Chats) learn(cmd *command, s *state, events []ports.NewEvent, at ports.Appended) {
	for i, e := range events {
		seq := at.First + domain.Seq(i) //nolint:gosec // an index
		c.entities.NoteChange(e.Event, seq)
		c.entities.NoteSend(ports.Record{Seq: seq, Ordinal: at.Ordinal, ID: e.ID, Event: e.Event, Meta: e.Meta}, s.entities[0].Epoch) // a send is alone
		for k := range s.entities {
			known := &s.entities[k]
			if known.State == nil || known.Expect || known.Exists || known.Latest || !slices.Contains(e.Moves, known.Entity) {
				continue
			}
			if s.free(cmd, known.Entity) || s.slack(cmd, known.Entity) > 0 {
				c.entities.NoteMove(cmd.chat, known.Entity, seq)
			} else {
				c.entities.Learn(cmd.chat, known, seq, e.Event)
			}
		}
	}
	if at.Due.Kind != 0 {
		c.entities.RequestSnapshot(cmd.chat, at.Due, nil)
	}
}

func (c *Chats) appendOf(cmd *command, s *state, events []domain.Durable) ports.Append {
	a := ports.Append{Chat: cmd.chat, Epoch: s.entities[0].Epoch, Conditions: s.conditionRoom[:0], Events: s.eventRoom[:0]}
	if n := len(s.entities) + len(cmd.conditions); n > len(s.conditionRoom) {
		a.Conditions = make([]domain.Condition, 0, n)
	}
	for _, k := range s.entities {
		switch {
		case k.Entity.Kind == domain.KindCommand:
			a.Command, a.Fingerprint = k.Entity, fingerprint(cmd.name, cmd.args)
		case k.Exists:
			a.Conditions = append(a.Conditions, domain.Condition{Entity: k.Entity, Exists: true})
		case !s.free(cmd, k.Entity):
			condition := domain.Condition{Entity: k.Entity, Version: k.Version}
			if slack := s.slack(cmd, k.Entity); slack > 0 {
				condition.UpTo = k.Version + slack
			}
			a.Conditions = append(a.Conditions, condition)
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
