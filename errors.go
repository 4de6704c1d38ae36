package chatcore

import "chatcore/ports"

// Errors of commands, queries and handlers. Branch on them with [errors.Is]; the refusals of the rules are those of package domain, such as
// [domain.ErrNotMember]. Package ports describes each, and the types that carry more.
var (
	// ErrUnavailable is returned when Redis could not be reached. Nothing was appended. Try again later.
	ErrUnavailable = ports.ErrUnavailable
	// ErrOutcomeUnknown is returned when the reply to an append was lost. Give the command again, under the same id.
	ErrOutcomeUnknown = ports.ErrOutcomeUnknown
	// ErrUnconfirmed is returned when too few replicas have confirmed an append. The append stands; the error is a [*ports.UnconfirmedError].
	ErrUnconfirmed = ports.ErrUnconfirmed
	// ErrConflict is returned when a condition of a command does not hold, or others kept changing the same thing. Read again and decide again.
	ErrConflict = ports.ErrConflict
	// ErrOverloaded is returned when too many appends wait. Nothing was appended. Try again later.
	ErrOverloaded = ports.ErrOverloaded
	// ErrRateLimited is returned for a command beyond its limit. The error is a [*ports.LimitedError], which has the time to try again.
	ErrRateLimited = ports.ErrRateLimited
	// ErrTooLarge is returned for an event of more than [domain.MaxEventBytes].
	ErrTooLarge = ports.ErrTooLarge
	// ErrLogLost is returned when Redis no longer holds the log that the core was opened on.
	ErrLogLost = ports.ErrLogLost
	// ErrNewerLog is returned when the log is at a level that only a newer program knows.
	ErrNewerLog = ports.ErrNewerLog
	// ErrLevel is returned when the log's level is too low for a command: older programs may use the log. See docs/upgrading.md.
	ErrLevel = ports.ErrLevel
	// ErrNewerVersion is returned when a decision or an answer depends on an event that only a newer program can read.
	ErrNewerVersion = ports.ErrNewerVersion
	// ErrForeignValue is returned when a key holds a value that another program wrote in another form.
	ErrForeignValue = ports.ErrForeignValue
)
