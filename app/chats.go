package app

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// Chats are the commands about chats and their messages. The caller names the actor, and must have authenticated that user; [Chats.As] fixes the
// actor for code that acts for users. Every command is idempotent: under the same message id or command id it has its effect once
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
	entities *entity.Loader
	live     ports.LiveBus
	typing   ports.TypingMarks
	clock    ports.LogClock
	ids      ports.IDs
	observer ports.Observer
	policy   Policy
	reads    *readCoalescer
	pending  *pendingMarks
	typists  *typingThrottle
	reacting *keyLocks
	shared   *sharedLoads
	limits   *Limits      // nil: there are none
	linker   ports.Linker // nil if the observer links nothing
	meta     ports.Meta
	effects  *atomic.Pointer[projection.AppendEffects] // nil in it: none

	takesTogether bool // appends take from the limits
	backdated     bool // the clock stands in the past
}

// Policy holds the settings of the rules.
type Policy struct {
	EditWindow time.Duration // how long after the send a message may be edited. Defaults to 0: at any time
	TypingTTL  time.Duration // lifetime of a typing mark. Defaults to domain.TypingTTL
	Caps       Caps
	Gate       Gate      // nil allows everything
	DirectIDs  DirectIDs // nil is domain.DirectID
	// CheckBlocks has nobody become a member by a command of a user whom they block in their direct chat. The direct chats are read before the command decides:
	// a block at the same moment may come too late. Defaults to false.
	CheckBlocks bool
	DirectChats ports.BulkReader // has the direct chats that CheckBlocks reads; nil checks nothing
	Views       projection.Views // in whose Chats the chats of a user are counted
}

// CommandLog is the part of the event log that commands need.
type CommandLog interface {
	ports.EventLog
	ports.EventSearch
}

// NewChats puts the use cases on the given ports. Nobody observes them if observer is nil, and nothing is limited if limits is.
func NewChats(
	log CommandLog, entities *entity.Loader, live ports.LiveBus, typing ports.TypingMarks, clock ports.LogClock, ids ports.IDs,
	observer ports.Observer, policy Policy, limits *Limits,
) *Chats {
	confirms, _ := log.(ports.Confirmer)
	policy.Caps = policy.Caps.WithDefaults()
	taker, ok := log.(ports.LimitTaker)
	linker, _ := observer.(ports.Linker)
	return &Chats{
		log: log, confirms: confirms, entities: entities, live: live, typing: typing, clock: clock, ids: ids, observer: observer, policy: policy,
		reads: newReadCoalescer(), pending: newPendingMarks(clock, maxPendingMarks), typists: newTypists(), limits: limits, linker: linker, effects: new(atomic.Pointer[projection.AppendEffects]),
		reacting: newKeyLocks(), shared: newSharedLoads(), takesTogether: ok && limits != nil && taker.TakesFrom(limits.limiter),
	}
}

// ApplyAfterAppend applies the effects of appends of these commands, and of those derived from them, right after each append.
func (c *Chats) ApplyAfterAppend(effects *projection.AppendEffects) { c.effects.Store(effects) }

// observe notifies the observer that a command begins. The caller calls the returned function with the command's error when it ends.
func (c *Chats) observe(ctx context.Context, name string, chat domain.ChatID) (context.Context, func(error)) {
	if c.observer == nil {
		return ctx, unobserved
	}
	return c.observer.Command(ctx, name, chat)
}

func unobserved(error) {}

// Backdated returns the same commands with a time of the past, for imports: their events have that time. No limit, cap, gate or check of blocks applies to them:
// imported messages were accepted elsewhere. Give them to importers only.
func (c *Chats) Backdated(at time.Time) *Chats {
	past := *c
	past.clock, past.backdated = pastClock{at}, true
	past.reads, past.pending = newReadCoalescer(), newPendingMarks(past.clock, 0)
	past.typists, past.limits = newTypists(), nil
	past.policy.Gate, past.policy.Caps, past.policy.CheckBlocks = nil, Caps{}, false
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

func (p pastClock) Now() time.Time { return p.at }

func (p pastClock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }

// Done is the result of a command.
type Done struct {
	Seq       domain.Seq // of the last event recorded for the command; 0 if it changed nothing
	Changed   bool       // whether there is such an event
	Duplicate bool       // whether the command was given before; Seq and Changed are then those of the first time
}

// Close records the read marks that were accepted and not recorded yet, until ctx ends, and returns how many it could not record. That takes about a
// second if the log can be reached. From then on every call of [Chats.MarkRead] waits until its mark is recorded. Calling it again is allowed.
func (c *Chats) Close(ctx context.Context) (unrecorded int) { return c.pending.close(ctx) }

// MarkStats returns the counts of accepted read marks.
func (c *Chats) MarkStats() MarkStats { return c.pending.stats() }

// NotifyMarksEnded has a function called each time the last pending mark ends: it is recorded, refused or dropped. The function must not block, and must
// not call Chats.
func (c *Chats) NotifyMarksEnded(ended func()) {
	c.pending.mu.Lock()
	defer c.pending.mu.Unlock()
	c.pending.emptied = ended
}

func (c *Chats) now() time.Time { return domain.Instant(c.clock.Now()) }

// Create starts a chat, with its owner, its first members and its metadata in one step. It returns [domain.ErrChatExists] if the id is taken, and
// [domain.ErrInvalid] if it is reserved ([domain.ReservedChatID]). It returns a [*domain.CapError] if there are more than [Caps.MembersPerCommand]
// members, or if one of them or the owner is in [Caps.ChatsPerUser] chats, and [domain.ErrBlocked] if one of them blocks the owner and [Policy.CheckBlocks] is set.
func (c *Chats) Create(ctx context.Context, cmd domain.Create) (Done, error) {
	title, err := domain.NewTitle(cmd.Title)
	metadata, invalid := c.metadataChange(cmd.Metadata, nil)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), domain.ReservedChatID(cmd.Chat), checkUsers(cmd.Members), checkCommand(cmd.Command), err, invalid); err != nil {
		return Done{}, err
	}
	if err := c.policy.Caps.checkMembers(cmd.Chat, cmd.Actor, cmd.Members); err != nil {
		return Done{}, err
	}
	var blockers blockers
	return c.run(ctx, command{
		name: "create", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants:   want(domain.ChatEntity()),
		joins:   append([]domain.UserID{cmd.Actor}, cmd.Members...),
		prepare: c.findBlockers(&blockers, cmd.Actor, cmd.Members),
		decide: func(s *state) ([]domain.Durable, error) {
			events, err := s.theChat().Create(cmd.Chat, title, cmd.Actor, cmd.Members, metadata, c.now())
			return blockers.refuse(cmd.Actor, cmd.Members, events, err)
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitCreate),
		gate:   GateQuestion{Kind: GateCreate, Actor: cmd.Actor, Chat: cmd.Chat, Targets: cmd.Members},
		args:   arguments{string(title), userSet(cmd.Actor, cmd.Members), valuesText(metadata.Set)},
	})
}

// userSet is the text of a set of users, without one of them. User ids have no spaces.
func userSet(without domain.UserID, users []domain.UserID) string {
	set := make([]string, 0, len(users))
	for _, user := range users {
		if user != without {
			set = append(set, string(user))
		}
	}
	slices.Sort(set)
	return strings.Join(slices.Compact(set), " ")
}

// Rename gives a chat a title. The same title again changes nothing.
func (c *Chats) Rename(ctx context.Context, cmd domain.Rename) (Done, error) {
	title, err := domain.NewTitle(cmd.Title)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "rename", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Rename(s.member(cmd.Actor), title, c.now())
		},
		args: arguments{string(title)},
	})
}

// Archive closes a chat to new messages, reactions and members. Done already, it changes nothing.
func (c *Chats) Archive(ctx context.Context, cmd domain.Archive) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "archive", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Archive(s.member(cmd.Actor), c.now())
		},
	})
}

// Unarchive opens an archived chat again. Done already, it changes nothing.
func (c *Chats) Unarchive(ctx context.Context, cmd domain.Unarchive) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "unarchive", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Unarchive(s.member(cmd.Actor), c.now())
		},
	})
}

// Chat gives the chat itself. [domain.ErrChatNotFound] if there is none.
func (q *Queries) Chat(ctx context.Context, chat domain.ChatID) (domain.Chat, error) {
	if err := checkChat(chat); err != nil {
		return domain.Chat{}, err
	}
	entities := []entity.Versioned{{Entity: domain.ChatEntity()}}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return domain.Chat{}, err
	}
	c, _ := entities[0].State.(*domain.Chat)
	return *c, nil
}

// Chats names every chat, in no particular order.
func (q *Queries) Chats(ctx context.Context) ([]domain.ChatID, error) {
	seen := make(map[domain.ChatID]struct{})
	var chats []domain.ChatID
	for chat, err := range q.log.Chats(ctx) {
		if err != nil {
			return nil, err
		}
		if _, twice := seen[chat]; !twice {
			seen[chat] = struct{}{}
			chats = append(chats, chat)
		}
	}
	return chats, nil
}

// ChatPage returns a page of all chats, in no particular order.
func (q *Queries) ChatPage(ctx context.Context, page domain.Page) (List[domain.ChatID], error) {
	page, err := checkPage(page)
	if err != nil {
		return List[domain.ChatID]{}, err
	}
	chats, next, err := q.log.ChatPage(ctx, page.Cursor, page.Limit)
	return List[domain.ChatID]{Items: chats, Next: next}, err
}

// ChatsOf returns the chats that a user is in, in the order of their ids, as far as the built-in subscriber has come: a moment behind the
// log. It returns [ErrNoViews] where no process has ever run that, and [ports.ErrCorrupt] where the user's view has lost chats.
func (q *Queries) ChatsOf(ctx context.Context, user domain.UserID) ([]domain.ChatID, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	chats, err := q.models.ChatsOf(ctx, user)
	slices.Sort(chats)
	return chats, err
}

// ChatsOfPage returns a page of the chats that a user is in, in no particular order, as [Queries.ChatsOf] does. Its cost follows the page and not the
// number of the user's chats.
func (q *Queries) ChatsOfPage(ctx context.Context, user domain.UserID, page domain.Page) (List[domain.ChatID], error) {
	page, err := checkPage(page)
	if err := firstError(checkUsers([]domain.UserID{user}), err); err != nil {
		return List[domain.ChatID]{}, err
	}
	chats, next, err := q.models.ChatsOfPage(ctx, user, page.Cursor, page.Limit)
	return List[domain.ChatID]{Items: chats, Next: next}, err
}
