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

// command is one running use case: the entities that it needs, its decision, and the conditions of that.
type command struct {
	name string
	chat domain.ChatID
	by   domain.UserID
	id   domain.CommandID // "" if the caller gave none

	wants  entitySet
	expect domain.Entity // expected not to exist, if not zero
	exists domain.Entity // expected to exist, if not zero: its state does not matter
	decide func(s *state) ([]domain.Durable, error)
	args   arguments // the arguments that id identifies, beside the name
	// unconditional names loaded entities that are no conditions of the append.
	unconditional func(s *state, e domain.Entity) bool
	// queue waits until no other call of this process decides a contended command on the same thing. It may be nil.
	queue      func(ctx context.Context) (release func(), err error)
	limits     *callLimits        // nil for a command without limits
	gate       GateQuestion       // without a kind for a command that no gate is asked about
	joins      []domain.UserID    // users that the command makes members
	conditions []domain.Condition // of entities that are not loaded
	endsTyping bool

	gateAsked  bool
	gateAnswer error // the gate's error, or nil
	loaded     bool  // whether a decision used the log's state: it refuses outsiders
}

// state is the loaded state of a command: a slot for each entity that it needs.
type state struct {
	chat  domain.ChatID
	slots []slot
	head  domain.Seq // 0 if all came from the cache
	found domain.Seq // the version that a decision without events refers to

	conflicts int // how often an append found an entity moved

	// Room for the slots of nearly every command, so that it takes one allocation.
	slotRoom      [6]slot
	conditionRoom [6]domain.Condition
	eventRoom     [1]ports.NewEvent
	moveRoom      [4]domain.Entity
}

func newState(cmd *command) *state {
	s := &state{chat: cmd.chat}
	s.slots = s.slotRoom[:0]
	for _, entities := range [...][]domain.Entity{cmd.wants.room[:cmd.wants.n], cmd.wants.more} {
		for _, e := range entities {
			latest := e.Kind == domain.KindRead || e.Kind == domain.KindReceipt // earlier events do not matter
			s.slots = append(s.slots, slot{entity: e, expect: e == cmd.expect, exists: e == cmd.exists, latest: latest || e == cmd.exists})
		}
	}
	if cmd.id != "" {
		s.slots = append(s.slots, slot{entity: cmd.entity(), expect: true})
	}
	return s
}

// entity is the command as the log records it.
func (c *command) entity() domain.Entity { return domain.CommandEntity(c.by, c.id) }

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
	s := newState(cmd)
	fresh := !c.entities.cached(cmd.chat, s.slots)
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
			if err != nil {
				return Done{}, err
			}
			if reload {
				fresh = true
				continue
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
			cmd.queue, fresh = nil, true
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
			c.entities.cached(cmd.chat, s.slots)
		case s.slot(stale.Condition.Entity) == nil: // one that the caller gave: deciding again does not help
			return Done{}, err
		}
	}
	return Done{}, fmt.Errorf("decided %d times: %w", decisions, conflict)
}

// load brings the slots up to date. An entity that an event moved which only a newer program can read is [ports.ErrNewerVersion], but not for a
// non-member: outsiders learn nothing about messages and members. The existence of an entity is known even if its events cannot be read.
func (c *Chats) load(ctx context.Context, cmd *command, s *state) error {
	head, unread, err := c.entities.fill(ctx, cmd.chat, s.slots)
	if err != nil {
		return err
	}
	s.head = head
	for i := range s.slots {
		u := unread[i]
		switch {
		case u == nil || s.slots[i].exists:
		case s.outsider(cmd.by, unread):
			return notMember(cmd.chat, cmd.by)
		default:
			return &u.NewerVersionError
		}
	}
	return nil
}

// append records the decision: events, a command with an id, or both.
func (c *Chats) append(ctx context.Context, cmd *command, s *state, events []domain.Durable) (Done, error) {
	a := c.appendOf(cmd, s, events)
	appended, err := cmd.limits.append(ctx, c.log, a)
	if err != nil {
		return Done{}, err
	}
	c.learn(cmd, s, events, appended)
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
	return c.confirms.Confirm(ctx, ports.LoadRef{Chat: s.chat, At: ports.Appended{First: at, Last: at}, Epoch: s.slots[0].epoch})
}

// learn updates the cache with the command's own events. Only states that were conditions are known for certain.
func (c *Chats) learn(cmd *command, s *state, events []domain.Durable, at ports.Appended) {
	for i, e := range events {
		c.entities.moves.note(e, at.First+domain.Seq(i)) //nolint:gosec // an index
		for k := range s.slots {
			known := &s.slots[k]
			if known.state == nil || known.expect || known.exists || known.latest || !domain.MovesEntity(e, known.entity) {
				continue
			}
			if s.free(cmd, known.entity) {
				c.entities.forget(cmd.chat, known.entity)
			} else {
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
		case k.exists:
			a.Conditions = append(a.Conditions, domain.Condition{Entity: k.entity, Exists: true})
		case !s.free(cmd, k.entity):
			a.Conditions = append(a.Conditions, domain.Condition{Entity: k.entity, Version: k.version})
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

// free reports whether an entity is no condition of the append.
func (s *state) free(cmd *command, e domain.Entity) bool {
	return cmd.unconditional != nil && cmd.unconditional(s, e)
}

// contended reports whether the next append may conflict with other calls of this process again, and could wait for them.
func (s *state) contended(cmd *command) bool {
	if s.conflicts == 0 || cmd.queue == nil {
		return false
	}
	return !slices.ContainsFunc(s.slots, func(k slot) bool { return s.free(cmd, k.entity) })
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

// referred returns the messages and members that a draft or an edit refers to. A reply's message is assumed to exist until the log was read.
func (s *state) referred(replyTo domain.MessageID, mentions []domain.UserID) domain.Referred {
	var r domain.Referred
	if replyTo != "" {
		found := s.slot(domain.MessageEntity(replyTo))
		r.ReplyTo = found.version > 0 || found.state == nil
	}
	for _, user := range mentions {
		r.Members = append(r.Members, s.member(user))
	}
	return r
}

func (s *state) reactions(id domain.MessageID) *domain.Reactions {
	return as[*domain.Reactions](s, domain.ReactionsEntity(id))
}

func (s *state) readMark(id domain.UserID) domain.ReadMark {
	return *as[*domain.ReadMark](s, domain.ReadEntity(id))
}

// entitySet are the entities that a command needs. The first few of them need no allocation.
type entitySet struct {
	room [4]domain.Entity
	n    int
	more []domain.Entity
}

// add adds an entity that is not there yet.
func (w *entitySet) add(e domain.Entity) {
	if w.n < len(w.room) {
		w.room[w.n] = e
		w.n++
		return
	}
	w.more = append(w.more, e)
}

// addMembers adds the memberships of users without repetitions, except for the actor's, which is present already.
func (w *entitySet) addMembers(by domain.UserID, users []domain.UserID) {
	for _, user := range users {
		if user != by {
			w.add(domain.MemberEntity(user))
		}
	}
}

func want(entities ...domain.Entity) (w entitySet) {
	w.n = copy(w.room[:], entities)
	if rest := entities[w.n:]; len(rest) > 0 {
		w.more = slices.Clone(rest)
	}
	return w
}
