package app

import (
	"context"
	"fmt"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

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
	draft  domain.Draft // of a send
	args   arguments    // the arguments that id identifies, beside the name
	// unconditional names loaded entities that are no conditions of the append.
	unconditional func(s *state, e domain.Entity) bool
	// slack returns how many events may have moved the hot entity since the state that the decision used. nil is 0. It is asked after a conflict only.
	slack func(s *state) domain.Seq
	// hot is a wanted entity that many calls may move at once, or zero. Calls that need a newer state of it than is cached share one load.
	hot domain.Entity
	// queue waits until no other call of this process decides a contended command on the same thing. It may be nil.
	queue      func(ctx context.Context) (release func(), err error)
	limits     *callLimits        // nil for a command without limits
	gate       GateQuestion       // without a kind for a command that no gate is asked about
	joins      []domain.UserID    // users that the command makes members
	conditions []domain.Condition // of entities that are not loaded
	endsTyping bool
	append     appendFunc // of an append with events and nothing else than an append to the log; nil for the log's own
	admits     bool       // the actor need not be a member
	// prepare is called before the first decision, and loads what is in other chats. It may be nil.
	prepare func(ctx context.Context) error
	// again is called with the first result of a command that is given again, and the number of its events. It may be nil.
	again func(s *state, done Done, events int)

	gateAsked  bool
	gateAnswer error // the gate's error, or nil
	loaded     bool  // whether a decision used the log's state: it refuses outsiders
}

// state is the loaded state of a command: the entities that it needs.
type state struct {
	chat     domain.ChatID
	entities []entity.Versioned
	head     domain.Seq // 0 if all came from the cache
	found    domain.Seq // the version that a decision without events refers to

	conflicts int // how often an append found an entity moved

	draft domain.Draft // that of the command: a closure with so large a value would take one allocation more

	// Room for the entities of nearly every command, so that it takes one allocation.
	entityRoom    [6]entity.Versioned
	conditionRoom [6]domain.Condition
	eventRoom     [1]ports.NewEvent
	moveRoom      [4]domain.Entity
}

func newState(cmd *command) *state {
	s := &state{chat: cmd.chat, draft: cmd.draft}
	if s.entities = s.entityRoom[:0]; cmd.wants.n+len(cmd.wants.more) >= len(s.entityRoom) {
		s.entities = make([]entity.Versioned, 0, cmd.wants.n+len(cmd.wants.more)+1)
	}
	for _, entities := range [...][]domain.Entity{cmd.wants.room[:cmd.wants.n], cmd.wants.more} {
		for _, e := range entities {
			latest := e.Kind == domain.KindRead || e.Kind == domain.KindReceipt // earlier events do not matter
			s.entities = append(s.entities, entity.Versioned{Entity: e, Expect: e == cmd.expect, Exists: e == cmd.exists, Latest: latest || e == cmd.exists})
		}
	}
	if cmd.id != "" {
		s.entities = append(s.entities, entity.Versioned{Entity: cmd.entity(), Expect: true})
	}
	return s
}

// entity is the command as the log records it.
func (c *command) entity() domain.Entity { return domain.CommandEntity(c.by, c.id) }

// free reports whether an entity is no condition of the append.
func (s *state) free(cmd *command, e domain.Entity) bool {
	return cmd.unconditional != nil && cmd.unconditional(s, e)
}

// slack returns how many events may move an entity between the decision and the append.
func (s *state) slack(cmd *command, e domain.Entity) domain.Seq {
	if s.conflicts == 0 || cmd.slack == nil || e != cmd.hot {
		return 0
	}
	return cmd.slack(s)
}

// maxUnqueued is after how many conflicts a command waits in its queue even if its condition has slack. Callers of many processes that move an entity
// all the time use up the slack of each other.
const maxUnqueued = 4

// contended reports whether the next append may conflict with other calls of this process again, and could wait for them.
func (s *state) contended(cmd *command) bool {
	if s.conflicts == 0 || cmd.queue == nil || s.conflicts < maxUnqueued && s.slack(cmd, cmd.hot) > 0 {
		return false
	}
	return !slices.ContainsFunc(s.entities, func(k entity.Versioned) bool { return s.free(cmd, k.Entity) })
}

// repeated returns the first answer of a command that was given before, and reports whether it was. It returns
// [domain.ErrCommandReused] if the id was another command's.
func (s *state) repeated(cmd *command) (Done, bool, error) {
	if cmd.id == "" {
		return Done{}, false, nil
	}
	recorded := s.entity(cmd.entity())
	switch {
	case recorded.Version == 0:
		return Done{}, false, nil
	case recorded.Command.Fingerprint != fingerprint(cmd.name, cmd.args):
		return Done{}, false, &domain.Refusal{
			Reason: domain.ErrCommandReused,
			Detail: fmt.Sprintf("user %q gave commandId %q in chat %q to another command, or to %s with other arguments", cmd.by, cmd.id, cmd.chat, cmd.name),
		}
	}
	done := Done{Duplicate: true}
	if recorded.Command.Events > 0 {
		done.Seq, done.Changed = recorded.Version, true
	}
	if cmd.again != nil {
		cmd.again(s, done, recorded.Command.Events)
	}
	return done, true, nil
}

func (s *state) entity(e domain.Entity) *entity.Versioned {
	for i := range s.entities {
		if s.entities[i].Entity == e {
			return &s.entities[i]
		}
	}
	return nil
}

// as gives the state of a wanted entity.
func as[S domain.State](s *state, e domain.Entity) S {
	found, _ := s.entity(e).State.(S)
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
		found := s.entity(domain.MessageEntity(replyTo))
		r.ReplyTo = found.Version > 0 || found.State == nil
	}
	if len(mentions) > 0 {
		r.Members = make([]*domain.Member, 0, len(mentions))
	}
	for _, user := range mentions {
		r.Members = append(r.Members, as[*domain.Member](s, domain.MemberEntity(user)))
	}
	return r
}

// referredBy returns what a draft refers to.
func (s *state) referredBy(d domain.Draft) domain.Referred {
	r := s.referred(d.ReplyTo, d.Mentions)
	if d.Thread != "" {
		r.Root = s.message(d.Thread)
	}
	return r
}

func (s *state) reactions(id domain.MessageID) *domain.Reactions {
	return as[*domain.Reactions](s, domain.ReactionsEntity(id))
}

func (s *state) readMark(id domain.UserID) domain.ReadMark {
	return *as[*domain.ReadMark](s, domain.ReadEntity(id))
}

// settings returns the settings of a user, which the command must want.
func (s *state) settings(id domain.UserID) domain.Settings {
	return *as[*domain.Settings](s, domain.SettingsEntity(id))
}

// unreadFrom returns the seq from which a user has marked messages as unread, or 0 if the read mark alone counts.
func (s *state) unreadFrom(id domain.UserID) domain.Seq {
	if set := s.settings(id); set.MarkedUnread(s.entity(domain.ReadEntity(id)).Version) {
		return set.UnreadSeq
	}
	return 0
}

// entitySet are the entities that a command needs. The first few of them need no allocation.
type entitySet struct {
	room [5]domain.Entity
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
	if more := w.n + len(users) - len(w.room); more > 0 {
		w.more = slices.Grow(w.more, more)
	}
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
