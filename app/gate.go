package app

import (
	"context"
	"errors"
	"fmt"

	"chatcore/domain"
)

// Gate decides whether a user may create a chat, open a direct chat, join, add a member, send a message or record a custom event. It is asked before the command decides, once
// for each call: also for one that is given again, and for one that a rule then refuses. A refusal does not count for a call that the log has already, or that would change
// nothing: it returns the first result. It is not asked about an actor that is not a member of the
// chat, except for GateCreate, GateDirect and GateJoin: such a command is refused as if there were no gate. It returns nil to allow the command. To refuse it, it returns a
// [*GateError] (see [Refuse]) or another error that is [domain.ErrRefused]. Any other error is a failure of the gate: the command fails with
// [ErrGateFailed] and that error, and is not refused. Nothing is recorded in either case. ctx is the caller's. Several calls may come at once.
type Gate func(ctx context.Context, q GateQuestion) error

// GateQuestion is the question to a gate.
type GateQuestion struct {
	Kind  GateKind
	Actor domain.UserID // of GateCreate, GateDirect and GateJoin need not be known to anybody; otherwise a member, as far as this process knew
	Chat  domain.ChatID // of GateCreate may be taken
	// Targets are the users that the command is about, beside the actor: of GateCreate the first members, of GateDirect the other participant, of GateAdd
	// the new members, of GateSend the users that the message mentions. The gate must not change them.
	Targets []domain.UserID
}

// GateKind is a kind of commands that a gate is asked about.
type GateKind string

// The kinds of commands that a gate is asked about. Commands of other kinds add no user and bring no new text to a chat, except [Chats.Edit], which
// only changes the actor's own message; [Policy.EditWindow] bounds it.
const (
	GateCreate GateKind = "create"
	GateDirect GateKind = "direct" // a direct chat that does not exist yet, or one that a participant has left
	GateJoin   GateKind = "join"   // of a public chat
	GateAdd    GateKind = "add"
	GateSend   GateKind = "send"
	GateRecord GateKind = "record" // a custom event: members may see it like a message
)

// ErrGateFailed is returned when the gate could not say whether it allows a command. Nothing was recorded; the same call may be made again.
var ErrGateFailed = errors.New("gate failed")

// GateError is the refusal of a gate. It is [domain.ErrRefused], and a [*domain.Refusal] for [errors.As].
type GateError struct {
	Reason   string // as the gate gave it
	Question GateQuestion
	Cause    error // the gate's error; nil if that was a *GateError
}

// Refuse returns the error with which a gate refuses a command. reason is for the caller of the command.
func Refuse(reason string) error { return &GateError{Reason: reason} }

func (e *GateError) Error() string {
	return fmt.Sprintf("%v: user %q may not %s in chat %q: %s", domain.ErrRefused, e.Question.Actor, e.Question.Kind, e.Question.Chat, e.Reason)
}

// Unwrap returns the refusal, and the cause if there is one.
func (e *GateError) Unwrap() []error {
	refusal := &domain.Refusal{Reason: domain.ErrRefused, Detail: e.Reason}
	if e.Cause == nil {
		return []error{refusal}
	}
	return []error{refusal, e.Cause}
}

// ask returns nil if there is no gate, or it allows the command.
func (g Gate) ask(ctx context.Context, q GateQuestion) error {
	if g == nil {
		return nil
	}
	err := g(ctx, q)
	var refusal *GateError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return &GateError{Reason: refusal.Reason, Question: q, Cause: refusal.Cause}
	case errors.Is(err, domain.ErrRefused):
		return &GateError{Reason: err.Error(), Question: q, Cause: err}
	}
	return fmt.Errorf("%w: %w", ErrGateFailed, err)
}
