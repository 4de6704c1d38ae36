package groups

import (
	"context"
	"errors"
	"time"

	"chatcore/domain"
)

// Errors of [Definitions].
var (
	// ErrDefined is returned when a group is defined that has a definition already.
	ErrDefined = errors.New("the consumer group is defined already")
	// ErrNotDefined is returned for a group without a definition: it does not exist, or the code of processes runs it.
	ErrNotDefined = errors.New("the consumer group has no definition")
	// ErrDefinitionChanged is returned for a change of a version of a definition that is not the present one.
	ErrDefinitionChanged = errors.New("the definition has changed since it was read")
	// ErrNewerDefinition is returned for a change of a definition that a later version of the program has written: this one would lose a part of it.
	// A process of the later version can make the change; any process can delete the definition.
	ErrNewerDefinition = errors.New("the definition was written by a later version of the program")
)

// Definition describes a consumer group whose handlers are outside of the processes of the log. Every process that runs defined groups runs it.
type Definition struct {
	Group   string
	Kind    Kind   // "" if the definition cannot be read; it then has a Group alone
	Version uint64 // from 1; one more with each change. A store sets it

	Filter      Filter
	Start       Start // of a new group. It never changes
	Unordered   bool  // events of a chat do not wait for each other. It never changes
	Park        bool  // a chat waits for a decision when one of its events becomes a dead letter; otherwise its next event follows
	Retry       Retry
	Concurrency int // the most deliveries in flight in a process; 0: the default of the kind

	Paused      bool
	PauseReason string // "" if a person paused it

	Webhook *Webhook // of a group of kind [KindWebhook]; nil otherwise

	CreatedAt time.Time // by the clock of the store, as UpdatedAt
	UpdatedAt time.Time
}

// Kind is the kind of a defined group's handlers.
type Kind string

// The kinds.
const (
	KindPull    Kind = "pull"    // consumers that are connected to a process
	KindWebhook Kind = "webhook" // an HTTP endpoint
)

// Filter selects the events that reach the handlers of a group. The group finishes others by itself. The zero value selects all.
type Filter struct {
	Types []string        // of events, such as message:new; empty: all
	Chats []domain.ChatID // empty: all
}

// Retry says how often, and when, a failed delivery is made again. The zero value of each field means the default of the kind.
type Retry struct {
	Attempts int           // before a delivery becomes a dead letter
	First    time.Duration // pause before the second attempt; doubles, varied by half
	Max      time.Duration // longest pause between two attempts
}

// Webhook is the endpoint of a group of kind [KindWebhook].
type Webhook struct {
	URL     string
	Timeout time.Duration // of one POST; 0: the default
	Secrets []SealedSecret
}

// SealedSecret is a secret of an endpoint, encrypted with a key of the configuration.
type SealedSecret struct {
	Key       string    // id of the key that encrypts it
	Sealed    []byte    // nonce and ciphertext
	ExpiresAt time.Time // signs nothing from then on; zero: never
}

// Definitions stores the definitions of groups, for all processes. Its methods return [ports.ErrUnavailable] for what may pass. They are safe for concurrent
// use.
type Definitions interface {
	// Definitions returns all definitions, sorted by group, and their revision.
	Definitions(ctx context.Context) (all []Definition, revision uint64, err error)
	// Revision returns the revision of all definitions: it grows with each change. After a loss of data it may be a lower one, but none that it had before.
	Revision(ctx context.Context) (uint64, error)
	// Definition returns the definition of a group, or [ErrNotDefined].
	Definition(ctx context.Context, group string) (Definition, error)
	// Define adds a definition, as version 1. It returns [ErrDefined] if the group has one.
	Define(ctx context.Context, d Definition) (Definition, error)
	// Redefine replaces the definition whose version is d's, and returns the new one, which keeps kind, start, order and the time of its creation. It
	// returns [ErrDefinitionChanged] if another version is the present one, [ErrNotDefined] if there is none, and [ErrNewerDefinition] if the present
	// one has fields that this program does not know, or is of a kind that it does not know.
	Redefine(ctx context.Context, d Definition) (Definition, error)
	// Undefine removes a definition, also one that cannot be read. It returns [ErrNotDefined] if there is none. Of concurrent calls more than one may
	// return nil.
	Undefine(ctx context.Context, group string) error
}
