package connect

import (
	"context"
	"errors"

	rpc "connectrpc.com/connect"

	"chatcore"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/subscribers/pull"
	"chatcore/app"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// callError is an error of the adapter itself.
type callError struct {
	code   rpc.Code
	reason string
	text   string
}

func (e *callError) Error() string { return e.text }

var (
	errNoCredential    = &callError{rpc.CodeUnauthenticated, "unauthenticated", "the call has no credential; allowed: a header Authorization: Bearer TOKEN"}
	errNotTried        = &callError{rpc.CodeAborted, "not_tried", "not tried, because an earlier message to the chat failed"}
	errEnding          = &callError{rpc.CodeUnavailable, "draining", "the server stops; call another one, or this one again later"}
	errCredentialEnded = &callError{rpc.CodeUnauthenticated, "credential_ended", "the credential of the stream has ended: it has expired, or was closed, replaced or removed; begin again with another one"}
	errClientGone      = &callError{rpc.CodeCanceled, "canceled", "the client does not take the messages of the stream"}
	errNotDeliverable  = &callError{rpc.CodeFailedPrecondition, "not_deliverable", "cannot be delivered"}
	errDamagedCursor   = errors.New("damaged cursor") // never returned to a client
)

// shown returns the error of a command as its caller sees it: a block may be hidden.
func (c Config) shown(err error) error {
	if c.HideBlocks && errors.Is(err, domain.ErrBlocked) {
		return errNotDeliverable
	}
	return err
}

// textOf says which text of an error a client sees.
type textOf uint8

const (
	whole    textOf = iota // the error's own
	sentinel               // only that of the sentinel: the rest names servers and keys
	hidden                 // none; the log has it under an incident id
)

// String returns the name of a choice of text.
func (t textOf) String() string {
	switch t {
	case sentinel:
		return "sentinel"
	case hidden:
		return "hidden"
	case whole:
	}
	return "whole"
}

// errorClass is the code and the reason of an error.
type errorClass struct {
	err    error
	code   rpc.Code
	reason string
	text   textOf

	// undone marks errors after which nothing was done, or all of it: the call may be given again even if its method is single.
	undone bool
}

// errorClasses returns the class of each error that a call can return. For an error of several classes the first counts: an outcome that is not known comes
// before all others.
func errorClasses() []errorClass {
	return []errorClass{
		{err: ports.ErrOutcomeUnknown, code: rpc.CodeUnavailable, reason: "outcome_unknown", text: sentinel},
		{err: ports.ErrUnconfirmed, code: rpc.CodeUnavailable, reason: "unconfirmed", text: sentinel},

		{err: auth.ErrUnauthenticated, code: rpc.CodeUnauthenticated, reason: "unauthenticated"},
		{err: auth.ErrNotLocal, code: rpc.CodePermissionDenied, reason: "not_local"},
		{err: auth.ErrCrossSite, code: rpc.CodePermissionDenied, reason: "cross_site"},
		{err: domain.ErrNoSession, code: rpc.CodeUnauthenticated, reason: "session_not_found"},

		{err: domain.ErrInvalid, code: rpc.CodeInvalidArgument, reason: "invalid"},
		{err: ports.ErrTooLarge, code: rpc.CodeInvalidArgument, reason: "too_large"},
		{err: chatcore.ErrCustomEvent, code: rpc.CodeInvalidArgument, reason: "custom_event"},

		{err: domain.ErrChatNotFound, code: rpc.CodeNotFound, reason: "chat_not_found"},
		{err: domain.ErrMessageNotFound, code: rpc.CodeNotFound, reason: "message_not_found"},
		{err: chatcore.ErrGroupNotFound, code: rpc.CodeNotFound, reason: "group_not_found"},
		{err: chatcore.ErrGroupDeleted, code: rpc.CodeNotFound, reason: "group_not_found"},
		{err: chatcore.ErrWebhookNotFound, code: rpc.CodeNotFound, reason: "webhook_not_found"},
		{err: chatcore.ErrNoWebhookKey, code: rpc.CodeFailedPrecondition, reason: "webhook_key_missing"},
		{err: chatcore.ErrWebhookKeyMissing, code: rpc.CodeFailedPrecondition, reason: "webhook_key_missing"},
		{err: chatcore.ErrDeadLetterNotFound, code: rpc.CodeNotFound, reason: "dead_letter_not_found"},

		{err: domain.ErrHoldNotFound, code: rpc.CodeNotFound, reason: "hold_not_found"},
		{err: domain.ErrHoldExists, code: rpc.CodeAlreadyExists, reason: "hold_exists"},
		{err: chatcore.ErrGroupNotDefined, code: rpc.CodeNotFound, reason: "group_not_defined"},

		{err: chatcore.ErrGroupDefined, code: rpc.CodeAlreadyExists, reason: "group_defined"},
		{err: domain.ErrChatExists, code: rpc.CodeAlreadyExists, reason: "chat_exists"},
		{err: domain.ErrMessageExists, code: rpc.CodeAlreadyExists, reason: "message_exists"},
		{err: domain.ErrCommandReused, code: rpc.CodeAlreadyExists, reason: "command_reused"},

		{err: domain.ErrNotMember, code: rpc.CodePermissionDenied, reason: "not_member"},
		{err: domain.ErrForbidden, code: rpc.CodePermissionDenied, reason: "forbidden"},
		{err: domain.ErrNotAuthor, code: rpc.CodePermissionDenied, reason: "not_author"},
		{err: domain.ErrRefused, code: rpc.CodePermissionDenied, reason: "refused"},
		{err: domain.ErrBanned, code: rpc.CodePermissionDenied, reason: "banned"},
		{err: domain.ErrMuted, code: rpc.CodePermissionDenied, reason: "muted"},
		{err: domain.ErrBlocked, code: rpc.CodePermissionDenied, reason: "blocked"},

		{err: chatcore.ErrGroupOfCode, code: rpc.CodeFailedPrecondition, reason: "group_of_code"},
		{err: domain.ErrArchived, code: rpc.CodeFailedPrecondition, reason: "archived"},
		{err: domain.ErrChatDeleted, code: rpc.CodeFailedPrecondition, reason: "chat_deleted"},
		{err: domain.ErrLegalHold, code: rpc.CodeFailedPrecondition, reason: "legal_hold"},
		{err: domain.ErrDirect, code: rpc.CodeFailedPrecondition, reason: "direct"},
		{err: domain.ErrTooManyMembers, code: rpc.CodeFailedPrecondition, reason: "too_many_members"},
		{err: domain.ErrPeerGone, code: rpc.CodeFailedPrecondition, reason: "peer_gone"},
		{err: domain.ErrThread, code: rpc.CodeFailedPrecondition, reason: "thread"},
		{err: ports.ErrLevel, code: rpc.CodeFailedPrecondition, reason: "log_level", text: sentinel},
		{err: domain.ErrLastOwner, code: rpc.CodeFailedPrecondition, reason: "last_owner"},
		{err: domain.ErrMessageDeleted, code: rpc.CodeFailedPrecondition, reason: "message_deleted"},
		{err: domain.ErrEditWindow, code: rpc.CodeFailedPrecondition, reason: "edit_window"},
		{err: domain.ErrCapReached, code: rpc.CodeFailedPrecondition, reason: "cap_reached"},
		{err: domain.ErrSeqRange, code: rpc.CodeOutOfRange, reason: "seq_range"},

		{err: pull.ErrOtherKind, code: rpc.CodeFailedPrecondition, reason: "not_a_pull_group"},
		{err: pull.ErrPaused, code: rpc.CodeFailedPrecondition, reason: "group_paused"},
		{err: pull.ErrDeleted, code: rpc.CodeFailedPrecondition, reason: "group_deleted"},
		{err: pull.ErrNotRunning, code: rpc.CodeUnavailable, reason: "group_not_running"},
		{err: pull.ErrStopping, code: rpc.CodeUnavailable, reason: "draining"},
		{err: pull.ErrUnanswered, code: rpc.CodeUnavailable, reason: "unanswered"},

		{err: domain.ErrTooSoon, code: rpc.CodeResourceExhausted, reason: "too_soon", undone: true},
		{err: ports.ErrRateLimited, code: rpc.CodeResourceExhausted, reason: "rate_limited", undone: true},
		{err: ports.ErrOverloaded, code: rpc.CodeResourceExhausted, reason: "overloaded", text: sentinel, undone: true},

		{err: feed.ErrSlow, code: rpc.CodeResourceExhausted, reason: "slow_feed"},
		{err: feed.ErrEnded, code: rpc.CodeUnavailable, reason: "feed_ended"},

		{err: ports.ErrConflict, code: rpc.CodeAborted, reason: "conflict"},
		{err: chatcore.ErrDefinitionChanged, code: rpc.CodeAborted, reason: "definition_changed"},

		{err: ports.ErrLogLost, code: rpc.CodeDataLoss, reason: "log_lost", text: sentinel},
		{err: ports.ErrCorrupt, code: rpc.CodeDataLoss, reason: "corrupt", text: sentinel},

		{err: chatcore.ErrNoFsck, code: rpc.CodeUnimplemented, reason: "findings_unsupported"},

		{err: ports.ErrNewerLog, code: rpc.CodeUnavailable, reason: "newer_log", text: sentinel},
		{err: chatcore.ErrNewerDefinition, code: rpc.CodeUnavailable, reason: "newer_definition", text: sentinel},
		{err: ports.ErrNewerVersion, code: rpc.CodeUnavailable, reason: "newer_version"},
		{err: app.ErrGateFailed, code: rpc.CodeUnavailable, reason: "gate_failed", text: sentinel},
		{err: chatcore.ErrNoViews, code: rpc.CodeUnavailable, reason: "no_views", text: sentinel},
		{err: ports.ErrEvicting, code: rpc.CodeUnavailable, reason: "evicting", text: sentinel},
		{err: chatcore.ErrFull, code: rpc.CodeUnavailable, reason: "full", text: sentinel},
		{err: ports.ErrClosed, code: rpc.CodeUnavailable, reason: "closed", text: sentinel},

		{err: chatcore.ErrNoPermission, code: rpc.CodeInternal, reason: "no_permission", text: hidden},
		{err: ports.ErrForeignValue, code: rpc.CodeInternal, reason: "foreign_value", text: hidden},

		{err: ports.ErrUnavailable, code: rpc.CodeUnavailable, reason: "unavailable", text: sentinel},

		{err: context.DeadlineExceeded, code: rpc.CodeDeadlineExceeded, reason: "deadline_exceeded", text: sentinel},
		{err: context.Canceled, code: rpc.CodeCanceled, reason: "canceled", text: sentinel},
	}
}

// classOf returns the class of an error: that of the adapter's own errors, of the first sentinel that the error is, or internal.
func classOf(err error) errorClass {
	if own, ok := errors.AsType[*callError](err); ok {
		return errorClass{err: own, code: own.code, reason: own.reason}
	}
	if denied, ok := errors.AsType[*accessError](err); ok {
		return errorClass{err: denied, code: rpc.CodePermissionDenied, reason: denied.reason}
	}
	if refused, ok := errors.AsType[*requestError](err); ok {
		return errorClass{err: refused, code: refused.code, reason: refused.reason}
	}
	for _, class := range errorClasses() {
		if errors.Is(err, class.err) {
			return class
		}
	}
	return errorClass{err: err, code: rpc.CodeInternal, reason: "internal", text: hidden}
}
