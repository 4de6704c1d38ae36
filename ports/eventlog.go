package ports

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"chatcore/domain"
)

// EventLog is the source of truth: an append-only log of durable events for each chat, with dense seqs from 1, and an index of
// the entities that the events moved. All methods are safe for concurrent use.
type EventLog interface {
	// Append records the events of one command, all or none, if every condition still holds. They get consecutive seqs.
	// Appends to one chat are linearizable. On success the events have also been handed to delivery and announced live.
	//
	// An append with a Command also records the command, in the same step. Its first condition is that the command is at version 0: if that does not
	// hold, the error names it, regardless of the others. Without events the append records the command alone and returns a zero [Appended]; if the
	// chat does not exist, it returns [ErrConflict].
	//
	// A condition that no longer holds is a [*ConflictError]. After a [ErrOutcomeUnknown] the events may or may not be there. A ctx
	// that ends before the append was sent leaves nothing behind, and Append returns its error. An append that was sent is waited for: if its
	// answer comes, Append returns it, although ctx may have ended; otherwise the error is [ErrOutcomeUnknown] and, if ctx has ended, ctx's as well.
	Append(ctx context.Context, a Append) (Appended, error)

	// Load reads entities of a chat with the events that moved them, oldest first, all as of one moment. An entity that
	// nothing moved has version 0 and no events; a chat that does not exist has only such. A command has a [CommandRecord] instead of
	// events, and its Want has no other fields.
	Load(ctx context.Context, chat domain.ChatID, wants ...LoadRequest) (Loaded, error)

	// Read gives events of a chat by seq, in the order that the range asks for.
	Read(ctx context.Context, chat domain.ChatID, r Range) (Page, error)

	// Members yields all present and former members of the chat, each once, in no particular order. Iteration stops at the first error. Memberships
	// that change meanwhile may be seen before or after the change.
	Members(ctx context.Context, chat domain.ChatID) iter.Seq2[domain.UserID, error]
}

// ChatIndex names the chats of an event log.
type ChatIndex interface {
	// Chats yields every chat that has an event, in no particular order. Iteration stops at the first error. A chat created
	// meanwhile may be missing; one may come twice.
	Chats(ctx context.Context) iter.Seq2[domain.ChatID, error]
}

// MessageCounter counts a chat's messages without reading them.
type MessageCounter interface {
	// Count returns for each of the given seqs its ordinal and the number of tombstones after it, in the order of the seqs and all as of one moment.
	// A chat that does not exist has zeros. A seq above the chat's last counts as the last.
	Count(ctx context.Context, chat domain.ChatID, after ...domain.Seq) ([]MessageCount, error)
}

// UnreadCounter is an event log that counts a user's unread messages in many chats at once. Other logs are asked chat by chat.
type UnreadCounter interface {
	// CountUnread returns for each of the chats, in their order, how many messages of others the user has not read, without tombstones. Each count is
	// of one moment. It returns [UnreadUnknown] for a chat that it cannot count, because of an event in an unusual form or because data is missing:
	// the caller then loads the chat.
	CountUnread(ctx context.Context, user domain.UserID, chats ...domain.ChatID) ([]UnreadCount, error)
}

// MemberCounter counts the unread messages of many members of a chat at once. An implementation may leave any user to the caller, as [UnreadUnknown].
type MemberCounter interface {
	// CountMembers returns the counts that the requests ask for, in their order: those of one request as of one moment. As with CountUnread, the caller
	// loads the count of a user that is [UnreadUnknown]. A user that never was a member is that, or [UnreadNotMember].
	//
	// It returns a [*domain.InvalidError] for a request beyond [MaxCountMembers].
	CountMembers(ctx context.Context, requests ...CountRequest) ([]MemberCounts, error)
}

// MaxCountMembers is the largest number of users in one [CountRequest].
const MaxCountMembers = 512

// CountRequest asks for unread counts in one chat: of the given users or, if there are none, of all present and former members.
type CountRequest struct {
	Chat  domain.ChatID
	Users []domain.UserID
	Most  int        // without Users: a chat of more present and former members is not counted. At most [MaxCountMembers]
	After domain.Seq // users that left at this seq or before are left out of the result. 0: none are
}

// Check returns an error if the request is not valid.
func (r CountRequest) Check() error {
	for field, n := range map[string]int{"users": len(r.Users), "most": r.Most} {
		if n > MaxCountMembers {
			return &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %d", n), Allowed: fmt.Sprintf("0 to %d", MaxCountMembers)}
		}
	}
	return nil
}

// MemberCounts is the result of CountMembers for one chat.
type MemberCounts struct {
	Head    domain.Seq    // the chat's last seq: as of then the counts are. 0 if the chat does not exist
	Members int           // the number of present and former members, of an existing chat
	Users   []MemberCount // in the order of the request's users or, if it has none, in no particular order
}

// MemberCount is the count of one user.
type MemberCount struct {
	User domain.UserID
	UnreadCount
}

// UnreadCount is the result of CountUnread for one chat.
type UnreadCount struct {
	Messages domain.Ordinal // 0 unless Outcome is UnreadCounted
	Outcome  UnreadOutcome
}

// UnreadOutcome is the status of an unread count.
type UnreadOutcome uint8

// Outcomes of CountUnread.
const (
	UnreadUnknown UnreadOutcome = iota
	UnreadCounted
	UnreadNotMember // the user is not a member of the chat any more
)

// String returns "unknown", "counted" or "not_member".
func (o UnreadOutcome) String() string {
	switch o {
	case UnreadUnknown:
		return "unknown"
	case UnreadCounted:
		return "counted"
	case UnreadNotMember:
		return "not_member"
	}
	return "UnreadOutcome(" + strconv.Itoa(int(o)) + ")"
}

// MessageCount is the result of Count for one seq.
type MessageCount struct {
	Last    domain.Seq     // the chat's last seq: as of then it is
	Head    domain.Ordinal // of the chat's last message
	At      domain.Ordinal // at the given seq
	Deleted domain.Ordinal // messages after the given seq that are tombstones
}

// EventSearch reads those events of a chat that a caller asks for. The cost of a page follows the events that it returns, not the events between
// them.
type EventSearch interface {
	// Search returns a page of the events that the filter selects, in the order that the range asks for. It returns fewer than the range's limit only
	// if the range has no more. An event with a schema that the program does not know is returned where it may be meant.
	//
	// Messages and tombstones cost about log2(d) steps of the log each, where d is how many events lie between two of them. Events of a user are
	// found by scanning every event of the range, where the log is; only those of the user are transferred.
	Search(ctx context.Context, chat domain.ChatID, f Filter, r Range) (Page, error)
}

// Filter selects events of a chat. Exactly one field is set.
type Filter struct {
	Messages   bool          // events that sent messages: [domain.MessageNew], and [domain.Unknown] with Sent
	Tombstones bool          // of these, the ones whose message is deleted now
	User       domain.UserID // events by and about a user, see [domain.Concerns]
}

// Check returns an error if the filter is not valid.
func (f Filter) Check() error {
	set := 0
	for _, field := range []bool{f.Messages, f.Tombstones, f.User != ""} {
		if field {
			set++
		}
	}
	if set != 1 {
		return &domain.InvalidError{Field: "filter", Problem: fmt.Sprintf("has %d fields", set), Allowed: "one of messages, tombstones, user"}
	}
	return nil
}

// BatchAppender appends many commands in one step of the log: each with its own conditions and outcome, each seeing those before it.
type BatchAppender interface {
	// AppendBatch gives one outcome for each command, in order. The error is for a batch of which nothing was appended, or, if it
	// is [ErrOutcomeUnknown], for one of which that is not known. ctx counts as for Append.
	AppendBatch(ctx context.Context, batch []Append) ([]Outcome, error)
}

// Confirmer is an event log that acknowledges an append only once it is as safe as was asked for. A log that knows no such degrees need not
// be one.
type Confirmer interface {
	// Confirm does the same for the result of a load, before a repetition is acknowledged because of it: a load does not show how safe its result is.
	// It returns an [*UnconfirmedError] as Append does, and [ErrConflict] if the log may have lost that result.
	Confirm(ctx context.Context, found LoadRef) error
}

// LimitTaker is an event log whose appends take from limits in the same step ([Append.Takes]). A log that cannot need not be one.
type LimitTaker interface {
	// TakesFrom reports whether appends count where the limiter counts. It asks no store.
	TakesFrom(l Limiter) bool
}

// LoadRef identifies the result of a load.
type LoadRef struct {
	Chat  domain.ChatID
	At    Appended // for the error
	Epoch uint64   // as of an [Append]
}

// Histories is an event log that may lose acknowledged events and go on, as a server does that restarts without its last writes. A log that never
// does, or ends then, need not be one.
type Histories interface {
	// History returns a name, of letters and digits, for the log and the present history of its data: another name after every moment at which the
	// log may have lost something: seqs may then name other events. Values made from the log under another name must not be used. History may ask the
	// log, and returns the last known name if the log does not answer. A new name is known a second after the log answers again, at the latest.
	History(ctx context.Context) string
}

// Snapshots keep folded states of entities, so that a load need not walk all of their events. They can be lost at any time.
type Snapshots interface {
	// SaveSnapshot remembers the state of an entity at a version, unless a later one is known. Loads begin with it from then on.
	SaveSnapshot(ctx context.Context, chat domain.ChatID, e domain.Entity, version domain.Seq, s domain.State) error
}

// Append holds one command's events and the conditions that they depend on.
type Append struct {
	Chat       domain.ChatID
	Conditions []domain.Condition
	Events     []NewEvent // at least one, or none with a Command
	// Command is the command to record, of the kind [domain.KindCommand]; zero for a command without an id.
	Command     domain.Entity
	Fingerprint uint64 // of the command's name and arguments
	// Epoch is the epoch of the reads that the decision depends on. A log with epochs refuses an append of another than the present one with
	// [ErrConflict]: it may have lost events since, and versions may name others.
	Epoch      uint64
	EndsTyping domain.UserID // whose typing mark it removes, if there is one; "" for nobody's
	// Takes are the limits that the append takes from. They are decided last: an append that fails takes nothing. Only a log that is a [LimitTaker]
	// accepts them.
	Takes []Take
}

// NewEvent is an event about to be recorded.
type NewEvent struct {
	ID    domain.EventID
	Event domain.Durable
	Moves []domain.Entity // at most one of a kind, and no command
	Meta  Meta
}

// Meta travels with an event from the command that caused it to its handlers.
type Meta struct {
	CorrelationID string           // the request or import that the event belongs to
	CausationID   domain.CommandID // the command the event was recorded for
	TraceParent   string           // W3C trace context
}

// Appended is where the events of a command are.
type Appended struct {
	First, Last domain.Seq
	Ordinal     domain.Ordinal // of the last event
	EndedTyping bool           // whether it removed a typing mark
	Due         domain.Entity  // an entity that has got so many events that a snapshot pays; zero if there is none
}

// Outcome is the outcome of one command of a batch.
type Outcome struct {
	Appended Appended
	Err      error // as from Append
}

// LoadRequest names an entity to load.
type LoadRequest struct {
	Entity domain.Entity
	After  domain.Seq // only events after this version
	Latest bool       // only the last event; of a read mark the last ones, as far as they can move it
	Until  domain.Seq // as of this seq: later events do not count. 0: as of now. Not together with After
	Whole  bool       // all events, and no snapshot instead of the first ones
	// Net leaves out events whose effect a later event of the same load undoes, as far as the log knows: of reactions, those before a removal of the
	// same reaction. The state that the events fold into is the same. Not together with Latest.
	Net bool
	// Last is how many events are returned at most, the newest ones; 0 is all. [EntityHistory.Older] then is where the next page begins. Not together with
	// Latest, and only for entities without snapshots.
	Last int
	// From is the seq of an event that moved the entity, as Older named it: later events do not count, and are not read. An event of another entity
	// gives a history that means nothing.
	From domain.Seq
}

// Loaded is the result of Load.
type Loaded struct {
	Entities []EntityHistory // in the order they were asked for
	Head     domain.Seq      // the chat's last seq, 0 if it has none
}

// EntityHistory is an entity's version and the events behind it.
type EntityHistory struct {
	Version domain.Seq
	// Snapshot is the state before the events. It is zero if they begin with the first, or after the requested version, as they do if that is at most
	// 256 seqs before the snapshot.
	Snapshot Snapshot
	Events   []Record   // oldest first
	Undone   int        // events that Net left out
	Older    domain.Seq // of the newest event that Last left out, 0 if there is none
	Command  CommandRecord
}

// CommandRecord is the log's record of a command with an id, which lasts as long as the chat. The version of the command's entity is the seq of its
// last event or, of a command without events, the chat's last seq when it was recorded.
type CommandRecord struct {
	Fingerprint uint64 // as in [Append]
	Events      int    // how many events the command recorded
}

// Snapshot is the state of an entity at a version.
type Snapshot struct {
	Version domain.Seq
	State   domain.State // not to be changed; Clone it
}

// Range selects events by seq.
type Range struct {
	From     domain.Seq // the first seq to give; 0: from the chat's first. Backwards, 0 and any seq above the last: from the last
	Backward bool
	Limit    int        // 1 to MaxPage
	Until    domain.Seq // as of this seq: later events do not count. 0: as of now
}

// Clip returns the first and the last seq of the range in a chat whose last seq is head, and without regard to the limit. first is above last if the
// range has no event.
func (r Range) Clip(head domain.Seq) (first, last domain.Seq) {
	first, last = max(r.From, 1), head
	if r.Until > 0 {
		last = min(last, r.Until)
	}
	if r.Backward {
		if first = 1; r.From > 0 {
			last = min(last, r.From)
		}
	}
	return first, last
}

// MaxPage is the most events that one Read gives.
const MaxPage = 1024

// MaxAppend is the most events that one Append records.
const MaxAppend = 1024

// Page is a stretch of a chat's log.
type Page struct {
	Records []Record
	Head    domain.Seq // the chat's last seq, 0 if there is no such chat
}

// Record is an event in its place in a chat's log.
type Record struct {
	ID      domain.EventID
	Seq     domain.Seq
	Ordinal domain.Ordinal
	Event   domain.Durable
	Meta    Meta
}

// Sentinels of the event log; the other ports use ErrUnavailable too. Each says whether the same call may be made again.
var (
	// ErrConflict is returned when a condition no longer holds, or may no longer have the same meaning; load again and decide again. In the first
	// case the error is a [*ConflictError].
	ErrConflict = errors.New("conflict")
	// ErrUnavailable is returned when a store could not be reached; try again later. To a log nothing was appended. Other stores may have been
	// changed, if the answer was lost; each port states the effect of the same call then.
	//
	// A caller whose own context has ended gets [context.Canceled] or [context.DeadlineExceeded] as well, from every port; an error that is
	// neither came while the caller still waited. See [Unavailable].
	ErrUnavailable = errors.New("store unavailable")
	// ErrOutcomeUnknown is an append whose answer was lost; a command with an id can safely be given again.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrLogLost is a log that is not the one it was at the start: it was flushed or replaced. Writes stop.
	ErrLogLost = errors.New("event log lost")
	// ErrRestoring is a log that a restore is writing, or has begun to write: it cannot be opened until all of it is there.
	ErrRestoring = errors.New("the log is being restored")
	// ErrNewerLog is returned when the log is at a level that this program does not know; the error is a [*LogLevelError]. Nothing was appended.
	// A newer program can make the same call.
	ErrNewerLog = errors.New("the log is newer than this program")
	// ErrLevel is returned for an append of an event that the log's level does not allow, because older programs may use the log; the error is a
	// [*LevelError]. Nothing was appended. The same append succeeds once "core upgrade" has raised the level.
	ErrLevel = errors.New("the log's level is too low")
	// ErrNewerVersion is returned when an answer or a decision depends on an event that a newer program wrote: of a type, or in a version, that
	// this program does not know. The error is a [*NewerVersionError]. Nothing was appended. A newer program can make the same call.
	ErrNewerVersion = errors.New("newer event version")
	// ErrCorrupt is returned when something of the log or of a view of it is missing or cannot be read; the error is a [*CorruptError]. Missing data
	// is never taken for absent data. "core fsck" names what is wrong, and repairs what follows from the log.
	ErrCorrupt = errors.New("corrupt log")
	// ErrOverloaded is a log with so many appends waiting that it takes no more; nothing was appended; try again later.
	ErrOverloaded = errors.New("event log overloaded")
	// ErrUnconfirmed is an append that not enough replicas have confirmed in time; the error is an [*UnconfirmedError].
	ErrUnconfirmed = errors.New("append not confirmed by replicas")
	// ErrEvicting is returned by durable writes while the store may evict keys of the log to make room; nothing was appended. They work again once its
	// operator has changed that.
	ErrEvicting = errors.New("store evicts keys of the log")
	// ErrTooLarge is an event of more than [domain.MaxEventBytes].
	ErrTooLarge = errors.New("event too large")
)

// LogLevelError says which level a log is at.
type LogLevelError struct {
	Log   string // its id
	Level int
	Known int // the highest level that this program knows
}

func (e *LogLevelError) Error() string {
	return fmt.Sprintf("%v: the log is at level %d, this program knows up to %d; upgrade it", ErrNewerLog, e.Level, e.Known)
}

// Is reports that a LogLevelError is [ErrNewerLog].
func (e *LogLevelError) Is(target error) bool { return target == ErrNewerLog }

// LevelError says which level an append needs.
type LevelError struct {
	Log    string // its id
	Level  int
	Needed int
}

func (e *LevelError) Error() string {
	return fmt.Sprintf("%v: the log is at level %d, the command needs %d; once no older program uses the log, core upgrade raises it", ErrLevel, e.Level, e.Needed)
}

// Is reports that a LevelError is [ErrLevel].
func (e *LevelError) Is(target error) bool { return target == ErrLevel }

// NewerVersionError names an event that only a newer program can read.
type NewerVersionError struct {
	Chat    domain.ChatID
	Seq     domain.Seq
	Type    string
	Version int
}

func (e *NewerVersionError) Error() string {
	return fmt.Sprintf("%v: chat %q, seq %d is %.64q v%d, which this program cannot read; a newer one can", ErrNewerVersion, e.Chat, e.Seq, e.Type, e.Version)
}

// Is reports that a NewerVersionError is [ErrNewerVersion].
func (e *NewerVersionError) Is(target error) bool { return target == ErrNewerVersion }

// ConflictError names the condition that no longer holds.
type ConflictError struct {
	Chat      domain.ChatID
	Condition domain.Condition
	Version   domain.Seq // the entity's version now
}

func (e *ConflictError) Error() string {
	if e.Condition.Exists {
		return fmt.Sprintf("%v: chat %q has no %s", ErrConflict, e.Chat, e.Condition.Entity)
	}
	wanted := strconv.FormatUint(uint64(e.Condition.Version), 10)
	if e.Condition.UpTo > e.Condition.Version {
		wanted = fmt.Sprintf("%d to %d", e.Condition.Version, e.Condition.UpTo)
	}
	return fmt.Sprintf("%v: %s of chat %q is at version %d, not %s", ErrConflict, e.Condition.Entity, e.Chat, e.Version, wanted)
}

// Is reports that a ConflictError is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// UnconfirmedError is an append that is in the log and will be delivered, but might not outlive the loss of the server that has it.
type UnconfirmedError struct {
	Appended  Appended
	Confirmed int // replicas that have it
	Wanted    int
}

func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("%v: %d of %d have seq %d to %d", ErrUnconfirmed, e.Confirmed, e.Wanted, e.Appended.First, e.Appended.Last)
}

// Is reports that an UnconfirmedError is [ErrUnconfirmed].
func (e *UnconfirmedError) Is(target error) bool { return target == ErrUnconfirmed }

// CorruptError names the missing or unreadable part: an entry of a chat's log, or a key.
type CorruptError struct {
	Chat  domain.ChatID // "" if it is of no one chat
	Seq   domain.Seq    // of the entry; 0 if it is no entry
	Key   string        // of the damaged key; "" if it is the entry, or follows from Cause
	Cause error
}

func (e *CorruptError) Error() string {
	text := ErrCorrupt.Error()
	if e.Chat != "" {
		text += fmt.Sprintf(": chat %q", e.Chat)
	}
	if e.Seq > 0 {
		text += fmt.Sprintf(", seq %d", e.Seq)
	}
	if e.Key != "" {
		text += ", key " + e.Key
	}
	return fmt.Sprintf("%s: %v", text, e.Cause)
}

// Is reports that a CorruptError is [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap gives the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// Check returns an error if no log would accept the append.
func (a Append) Check() error {
	recorded := a.Command != domain.Entity{}
	if n := len(a.Events); n == 0 && !recorded || n > MaxAppend {
		return &domain.InvalidError{Field: "events", Problem: fmt.Sprintf("has %d events", n), Allowed: fmt.Sprintf("1 to %d, or none with a command", MaxAppend)}
	}
	if recorded && a.Command.Kind != domain.KindCommand {
		return &domain.InvalidError{Field: "command", Problem: "is " + a.Command.String(), Allowed: "the entity of a command"}
	}
	for _, t := range a.Takes {
		if err := CheckTake(t.Limit, t.N, t.Name); err != nil {
			return err
		}
	}
	for _, e := range a.Events {
		if e.Event.ChatID() != a.Chat {
			return &domain.InvalidError{Field: "events", Problem: fmt.Sprintf("has one of chat %q", e.Event.ChatID()), Allowed: fmt.Sprintf("events of chat %q", a.Chat)}
		}
		var kinds [domain.Kinds + 1]bool
		for _, m := range e.Moves {
			switch {
			case m.Kind == 0 || m.Kind > domain.Kinds:
				return &domain.InvalidError{Field: "moves", Problem: fmt.Sprintf("has an entity of kind %d", m.Kind), Allowed: fmt.Sprintf("1 to %d", domain.Kinds)}
			case m.Kind == domain.KindCommand:
				return &domain.InvalidError{Field: "moves", Problem: "has " + m.String(), Allowed: "entities that are no commands; a command belongs to the append"}
			case kinds[m.Kind]:
				return &domain.InvalidError{Field: "moves", Problem: "has two entities of the kind of " + m.String(), Allowed: "at most one of a kind for an event"}
			}
			kinds[m.Kind] = true
		}
	}
	return nil
}

// Check returns an error if the range is not valid.
func (r Range) Check() error {
	if r.Limit < 1 || r.Limit > MaxPage {
		return &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %d", r.Limit), Allowed: fmt.Sprintf("1 to %d", MaxPage)}
	}
	return nil
}
