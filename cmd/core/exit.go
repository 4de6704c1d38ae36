package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"chatcore"
	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// Exit codes of the program, by class of error.
const (
	exitOK          = 0
	exitFailed      = 1 // another failure, a finding, or a confirmation that is missing
	exitUsage       = 2 // the command line or a setting is wrong: the same call fails again
	exitRefused     = 3 // a rule refused it
	exitNotFound    = 4
	exitUnavailable = 5 // nothing was done, and the same call may succeed later
	exitUnknown     = 6 // it may have been done; with the same id it is done once
)

// usageError is a command line that is not understood.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errorClass is the class of an error, for scripts.
type errorClass struct {
	err  error
	code string
	exit int
}

// errorClasses returns the classes. For an error of several classes the first counts: outcome unknown comes before all others.
func errorClasses() []errorClass {
	return []errorClass{
		{ports.ErrOutcomeUnknown, "outcome_unknown", exitUnknown},
		{ports.ErrUnconfirmed, "unconfirmed", exitUnknown},

		{domain.ErrInvalid, "invalid", exitUsage},
		{chatcore.ErrURL, "invalid_url", exitUsage},
		{chatcore.ErrRejected, "connection_rejected", exitUsage},
		{chatcore.ErrLogDiffers, "log_differs", exitUsage},

		{domain.ErrChatNotFound, "chat_not_found", exitNotFound},
		{domain.ErrMessageNotFound, "message_not_found", exitNotFound},
		{domain.ErrNoSession, "session_not_found", exitNotFound},
		{chatcore.ErrGroupNotFound, "group_not_found", exitNotFound},
		{chatcore.ErrGroupNotDefined, "group_not_defined", exitNotFound},
		{chatcore.ErrDeadLetterNotFound, "dead_letter_not_found", exitNotFound},
		{domain.ErrHoldNotFound, "hold_not_found", exitNotFound},
		{errTokenNotFound, "token_not_found", exitNotFound},
		{fs.ErrNotExist, "file_not_found", exitNotFound},

		{domain.ErrChatExists, "chat_exists", exitRefused},
		{chatcore.ErrGroupDefined, "group_defined", exitRefused},
		{chatcore.ErrGroupOfCode, "group_of_code", exitRefused},
		{chatcore.ErrDefinitionChanged, "definition_changed", exitRefused},
		{domain.ErrChatDeleted, "chat_deleted", exitRefused},
		{domain.ErrArchived, "archived", exitRefused},
		{domain.ErrNotMember, "not_member", exitRefused},
		{domain.ErrForbidden, "forbidden", exitRefused},
		{domain.ErrDirect, "direct", exitRefused},
		{domain.ErrPeerGone, "peer_gone", exitRefused},
		{domain.ErrBanned, "banned", exitRefused},
		{domain.ErrMuted, "muted", exitRefused},
		{domain.ErrBlocked, "blocked", exitRefused},
		{domain.ErrLegalHold, "legal_hold", exitRefused},
		{domain.ErrHoldExists, "hold_exists", exitRefused},
		{domain.ErrLastOwner, "last_owner", exitRefused},
		{domain.ErrMessageExists, "message_exists", exitRefused},
		{domain.ErrMessageDeleted, "message_deleted", exitRefused},
		{domain.ErrNotAuthor, "not_author", exitRefused},
		{domain.ErrEditWindow, "edit_window", exitRefused},
		{domain.ErrSeqRange, "seq_range", exitRefused},
		{domain.ErrTooSoon, "too_soon", exitRefused},
		{domain.ErrCommandReused, "command_reused", exitRefused},
		{ports.ErrTooLarge, "too_large", exitRefused},
		{ports.ErrRateLimited, "rate_limited", exitRefused},
		{archive.ErrShared, "vault_shared", exitRefused},

		{chatcore.ErrOccupied, "occupied", exitRefused},
		{chatcore.ErrLogNotFound, "log_not_found", exitNotFound},
		{chatcore.ErrSeveralLogs, "several_logs", exitUsage},
		{chatcore.ErrRestoring, "restoring", exitUnavailable},
		{chatcore.ErrIncompleteVault, "vault_incomplete", exitUnavailable},
		{object.ErrTruncated, "vault_truncated", exitFailed},
		{object.ErrDamaged, "vault_damaged", exitFailed},
		{object.ErrSwapped, "vault_swapped", exitFailed},
		{object.ErrOtherLog, "vault_other_log", exitFailed},
		{object.ErrNewerFormat, "vault_newer_format", exitFailed},
		{chatcore.ErrDamagedExport, "damaged_export", exitFailed},
		{errVaultFindings, "vault_findings", exitFailed},
		{ports.ErrNewerLog, "newer_log", exitFailed},
		{ports.ErrLevel, "log_level", exitFailed},
		{chatcore.ErrNewerDefinition, "newer_definition", exitFailed},
		{ports.ErrLogLost, "log_lost", exitFailed},
		{chatcore.ErrTooOld, "redis_too_old", exitFailed},
		{chatcore.ErrNoPermission, "no_permission", exitFailed},
		{ports.ErrCorrupt, "corrupt", exitFailed},
		{ports.ErrForeignValue, "foreign_value", exitFailed},
		{ports.ErrVaultDenied, "vault_denied", exitFailed},

		{chatcore.ErrNoViews, "no_views", exitUnavailable},
		{ports.ErrEvicting, "evicting", exitUnavailable},
		{chatcore.ErrFull, "full", exitUnavailable},
		{ports.ErrVaultFull, "vault_full", exitUnavailable},
		{ports.ErrOverloaded, "overloaded", exitUnavailable},
		{ports.ErrConflict, "conflict", exitUnavailable},
		{chatcore.ErrUnreachable, "unreachable", exitUnavailable},
		{ports.ErrUnavailable, "unavailable", exitUnavailable},

		{errDanger, "danger", exitFailed},
		{errContradictions, "contradictions", exitFailed},
		{errMalformed, "malformed", exitFailed},
		{errUnsure, "not_confirmed", exitFailed},
		{errLeft, "group_not_run", exitFailed},
		{context.Canceled, "interrupted", exitFailed},
	}
}

// classOf returns the class of a command's error. One from before the command began is about the command line, or about the settings.
func (c *cli) classOf(err error) errorClass {
	_, isUsage := errors.AsType[usageError](err)
	for _, class := range errorClasses() {
		if errors.Is(err, class.err) && !isUsage && c.begun {
			return class
		}
	}
	if isUsage || !c.begun {
		return errorClass{err, "usage", exitUsage}
	}
	return errorClass{err, "failed", exitFailed}
}

// errorView is the error of a command as programs read it.
type errorView struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Exit    int    `json:"exit"`

	Field   string `json:"field,omitempty"` // of an invalid value, with the accepted values
	Problem string `json:"problem,omitempty"`
	Allowed string `json:"allowed,omitempty"`

	RetryAfterSeconds float64 `json:"retryAfterSeconds,omitempty"` // of a rate limit

	Commands []string `json:"commands,omitempty"` // rights that the Redis user lacks
	Keys     []string `json:"keys,omitempty"`
	Channels []string `json:"channels,omitempty"`
}

func (c *cli) errorViewOf(err error) errorView {
	class := c.classOf(err)
	v := errorView{Code: class.code, Message: err.Error(), Exit: class.exit}
	if invalid, is := errors.AsType[*domain.InvalidError](err); is {
		v.Field, v.Problem, v.Allowed = invalid.Field, invalid.Problem, invalid.Allowed
	}
	if limited, is := errors.AsType[*ports.LimitedError](err); is {
		v.RetryAfterSeconds = limited.RetryAfter.Seconds()
	}
	if rights, is := errors.AsType[*ports.RightsError](err); is {
		v.Commands, v.Keys, v.Channels = rights.Commands, rights.Keys, rights.Channels
	}
	return v
}

// report prints a command's error to standard error, as JSON if that was asked for, and returns the exit code.
func (c *cli) report(err error, args []string) int {
	v := c.errorViewOf(err)
	if c.json || slices.Contains(args, "--json") { // the flags may not have been parsed as far
		encoder := json.NewEncoder(c.errs)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(map[string]errorView{"error": v}) // there is nowhere left to say that it failed
		return v.Exit
	}
	fmt.Fprintln(c.errs, "core:", v.Message)
	if v.Code == "usage" {
		fmt.Fprintln(c.errs, "core: see --help")
	}
	return v.Exit
}
