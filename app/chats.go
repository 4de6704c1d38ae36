package app

import (
	"context"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Chats are the commands about chats and their messages. Every command is idempotent: under the same message id or command id it has its effect once
// and returns the first result again, for as long as the chat exists, in every process, regardless of later events. This includes a command that
// changed nothing. Command ids belong to the actor: two users may choose the same one. An id that the actor has used for another command, or with
// other arguments, is [domain.ErrCommandReused]. A refused command is not recorded: given again, it is decided again.
//
// Commands fail with domain's refusals, with [ports.ErrConflict] when others kept changing the same thing, with [ports.ErrUnavailable] when the log
// could not be reached, with [ports.ErrOutcomeUnknown] when the answer was lost, and with [ports.ErrUnconfirmed] when too few replicas have it: also
// one that is given again, as long as that is so. A command beyond its limit fails with [ports.ErrRateLimited], a [*ports.LimitedError] with the time
// to try again; it has recorded nothing. Each call of a command counts against the limit of its kind ([LimitSend], [LimitReact] and so on) if that is
// set, also one that is refused or changes nothing. Where the limits are kept with the log, an append takes from them in its own round trip;
// otherwise they are taken first. Outsiders learn of no limit and of no gate: their commands return [domain.ErrNotMember], or
// [domain.ErrChatNotFound] where no chat has that id, and counts against their own limits. A command that exceeds one of [Policy.Caps] fails with a
// [*domain.CapError], one that [Policy.Gate] refuses with a [*GateError].
type Chats struct {
	log      CommandLog
	confirms ports.Confirmer // nil if the log has no need of it
	entities *Entities
	live     ports.LiveBus
	typing   ports.TypingMarks
	clock    ports.LogClock
	ids      ports.IDs
	observer ports.Observer
	policy   Policy
	reads    *readCoalescer
	typists  *typingThrottle
	reacting *keyLocks
	limits   *Limits // nil: there are none
	meta     ports.Meta
	effects  *atomic.Pointer[AppendEffects] // nil in it: none

	takesTogether bool // appends take from the limits
	backdated     bool // the clock stands in the past
}

// Policy holds the settings of the rules.
type Policy struct {
	EditWindow time.Duration // how long after the send a message may be edited. Defaults to 0: at any time
	TypingTTL  time.Duration // lifetime of a typing mark. Defaults to domain.TypingTTL
	Caps       Caps
	Gate       Gate  // nil allows everything
	Views      Views // in whose Chats the chats of a user are counted
}

// CommandLog is the part of the event log that commands need.
type CommandLog interface {
	ports.EventLog
	ports.EventSearch
}

// NewChats puts the use cases on the given ports. Nobody observes them if observer is nil, and nothing is limited if limits is.
func NewChats(
	log CommandLog, entities *Entities, live ports.LiveBus, typing ports.TypingMarks, clock ports.LogClock, ids ports.IDs,
	observer ports.Observer, policy Policy, limits *Limits,
) *Chats {
	confirms, _ := log.(ports.Confirmer)
	policy.Caps = policy.Caps.WithDefaults()
	taker, ok := log.(ports.LimitTaker)
	return &Chats{
		log: log, confirms: confirms, entities: entities, live: live, typing: typing, clock: clock, ids: ids, observer: observer, policy: policy,
		reads: newReadCoalescer(), typists: newTypists(), limits: limits, effects: new(atomic.Pointer[AppendEffects]),
		reacting: newKeyLocks(), takesTogether: ok && limits != nil && taker.TakesFrom(limits.limiter),
	}
}

// ApplyAfterAppend applies the effects of appends of these commands, and of those derived from them, right after each append.
func (c *Chats) ApplyAfterAppend(effects *AppendEffects) { c.effects.Store(effects) }

// observe notifies the observer that a command begins. The caller calls the returned function with the command's error when it ends.
func (c *Chats) observe(ctx context.Context, name string, chat domain.ChatID) (context.Context, func(error)) {
	if c.observer == nil {
		return ctx, unobserved
	}
	return c.observer.Command(ctx, name, chat)
}

func unobserved(error) {}

// Backdated returns the same commands with a time of the past, for imports: their events have that time. No limit, cap or gate applies to them:
// imported messages were accepted elsewhere. Give them to importers only.
func (c *Chats) Backdated(at time.Time) *Chats {
	past := *c
	past.clock, past.backdated = pastClock{at}, true
	past.reads, past.typists, past.limits = newReadCoalescer(), newTypists(), nil
	past.policy.Gate, past.policy.Caps = nil, Caps{}
	return &past
}

// Correlated gives the same commands with an id that every event they record carries, and every delivery of it.
func (c *Chats) Correlated(id string) *Chats {
	correlated := *c
	correlated.meta.CorrelationID = id
	return &correlated
}

// pastClock stands at one time; there is nothing to wait for in the past.
type pastClock struct{ at time.Time }

func (p pastClock) Now() time.Time                               { return p.at }
func (p pastClock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }

// Done is the result of a command.
type Done struct {
	Seq       domain.Seq // of the last event recorded for the command; 0 if it changed nothing
	Changed   bool       // whether there is such an event
	Duplicate bool       // whether the command was given before; Seq and Changed are then those of the first time
}

func (c *Chats) now() time.Time { return domain.Instant(c.clock.Now()) }
