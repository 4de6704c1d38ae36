package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Kinds of limits of this package. Custom kinds have other names. The commands of [Chats] take from all but LimitLogin, on the actor's account.
const (
	LimitSend       = "send"         // messages of a user; taken by Chats.Send
	LimitSendInChat = "send-in-chat" // messages of a user in one chat; taken by Chats.Send
	LimitTyping     = "typing"       // starts of a user that are not held back already; taken by Chats.StartTyping
	LimitReact      = "react"        // taken by Chats.React and Chats.Unreact
	LimitEdit       = "edit"         // taken by Chats.Edit
	LimitDelete     = "delete"       // taken by Chats.Delete
	LimitRead       = "read"         // taken by Chats.MarkRead
	LimitRecord     = "record"       // taken by Chats.Record
	LimitCreate     = "create"       // taken by Chats.Create, and by Chats.OpenDirect for a new chat
	LimitAdd        = "add"          // taken by Chats.Add and Chats.AddMembers
	LimitSettings   = "settings"     // taken by Chats.SetSettings
	LimitMetadata   = "metadata"     // taken by Chats.UpdateMetadata
	LimitJoin       = "join"         // taken by Chats.Join
	LimitRestrict   = "restrict"     // taken by Chats.Restrict and Chats.Block
	LimitLogin      = "login"        // attempts, per subject that the caller names
)

// ServiceLimits returns limits for a service whose users are people: several times what a busy person does, and little enough that no user takes a
// notable part of a server. Each call returns a map of its own, which may be changed. LimitLogin counts per subject that the caller of Limits.Allow
// names.
func ServiceLimits() map[string]Limit {
	perMinute := func(rate, burst int) Limit {
		return Limit{Algorithm: ports.GCRA, Rate: rate, Per: time.Minute, Burst: burst}
	}
	perHour := func(rate, burst int) Limit {
		return Limit{Algorithm: ports.GCRA, Rate: rate, Per: time.Hour, Burst: burst}
	}
	return map[string]Limit{
		LimitSend:       perMinute(120, 30),
		LimitSendInChat: perMinute(60, 20),
		LimitTyping:     perMinute(120, 30),
		LimitReact:      perMinute(120, 30),
		LimitEdit:       perMinute(60, 20),
		LimitDelete:     perMinute(60, 60),
		LimitRead:       perMinute(240, 60),
		LimitRecord:     perMinute(120, 30),
		LimitCreate:     perHour(60, 20),
		LimitAdd:        perHour(600, 100),
		LimitSettings:   perMinute(120, 30),
		LimitMetadata:   perMinute(60, 20),
		LimitJoin:       perHour(60, 20),
		LimitRestrict:   perHour(600, 100),
		LimitLogin:      {Rate: 10, Per: 15 * time.Minute},
	}
}

// Failure is the treatment of a call whose limit cannot be checked.
type Failure uint8

// The treatments.
const (
	FailByKind Failure = iota // closed for [LimitLogin], open for all others
	FailOpen                  // it is allowed, and counted
	FailClosed                // it fails with the limiter's error
)

// String returns "by kind", "open" or "closed".
func (f Failure) String() string {
	switch f {
	case FailByKind:
		return "by kind"
	case FailOpen:
		return "open"
	case FailClosed:
		return "closed"
	}
	return "Failure(" + strconv.Itoa(int(f)) + ")"
}

// Limit is how much of a kind is allowed to each of those it is counted by.
type Limit struct {
	Algorithm ports.Algorithm // Defaults to ports.FixedWindow
	Rate      int             // calls in Per
	Per       time.Duration
	Burst     int     // ports.GCRA only: calls at once. Defaults to Rate
	OnFailure Failure // Defaults to FailByKind
}

func (l Limit) limit() ports.Limit {
	return ports.Limit{Algorithm: l.Algorithm, Rate: l.Rate, Per: l.Per, Burst: l.Burst}
}

func (l Limit) closed(kind string) bool {
	return l.OnFailure == FailClosed || l.OnFailure == FailByKind && kind == LimitLogin
}

// CheckLimits reports everything that is wrong with limits by kind.
func CheckLimits(limits map[string]Limit) error {
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(limits)) {
		l := limits[kind]
		err := l.limit().Check()
		if err == nil && l.OnFailure > FailClosed {
			err = &domain.InvalidError{Field: "OnFailure", Problem: fmt.Sprintf("is %d", l.OnFailure), Allowed: "FailByKind, FailOpen, FailClosed"}
		}
		if err == nil && len(kind) > ports.MaxNamePart {
			err = &domain.InvalidError{Field: "kind", Problem: fmt.Sprintf("has %d bytes", len(kind)), Allowed: fmt.Sprintf("at most %d", ports.MaxNamePart)}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("Limits.Rates %q: %w", kind, err))
		}
	}
	return errors.Join(errs...)
}

// Limits say when there is too much of something. A kind without a limit is not limited by the commands; to ask for it is an error.
type Limits struct {
	limiter ports.Limiter
	kinds   map[string]Limit

	refused, unchecked atomic.Uint64
}

// NewLimits counts the given kinds, whose limits [CheckLimits] has nothing against.
func NewLimits(limiter ports.Limiter, kinds map[string]Limit) *Limits {
	return &Limits{limiter: limiter, kinds: maps.Clone(kinds)}
}

// LimitStats are counts since the start.
type LimitStats struct {
	Refused   uint64 // calls that were too many
	Unchecked uint64 // calls allowed because their limit could not be checked
}

// Stats gives the counts.
func (l *Limits) Stats() LimitStats {
	return LimitStats{Refused: l.refused.Load(), Unchecked: l.unchecked.Load()}
}

// Allow takes one call of a kind by a subject: a user, an address, or several of them together. A call beyond the limit returns
// [ports.ErrRateLimited], a [*ports.LimitedError] with the time to try again. If the limit cannot be checked, the call is allowed or fails as the
// kind's limit says; a call whose context has ended fails. It is one round trip.
//
// The key of a count has the names of kind and subject, which other programs on the store use too; for the kind "" it has the subject's alone.
func (l *Limits) Allow(ctx context.Context, kind string, subject ...string) (ports.Decision, error) {
	return l.AllowN(ctx, kind, 1, subject...)
}

// AllowN is like Allow for n calls at once, all or none. With n = 0 it takes nothing, and returns the remaining number.
func (l *Limits) AllowN(ctx context.Context, kind string, n int, subject ...string) (ports.Decision, error) {
	limit, there := l.kinds[kind]
	if !there {
		allowed := "none: the configuration sets no limits"
		if len(l.kinds) > 0 {
			allowed = "those that have one: " + strings.Join(slices.Sorted(maps.Keys(l.kinds)), ", ")
		}
		return ports.Decision{}, &domain.InvalidError{Field: "kind", Problem: fmt.Sprintf("%.80q has no limit", kind), Allowed: allowed}
	}
	name := subject
	if kind != "" {
		name = append([]string{kind}, subject...)
	}
	if len(subject) == 0 {
		return ports.Decision{}, &domain.InvalidError{Field: "subject", Problem: "is missing", Allowed: "the limited user, address or other subject"}
	}
	d, err := l.limiter.Allow(ctx, limit.limit(), n, name...)
	switch {
	case err == nil && d.Allowed:
		return d, nil
	case err == nil:
		l.refused.Add(1)
		return d, &ports.LimitedError{Kind: kind, RetryAfter: d.RetryAfter}
	}
	if err := l.unasked(ctx, err, []limitRequest{{kind, subject}}); err != nil {
		return ports.Decision{}, err
	}
	return ports.Decision{Allowed: true}, nil
}

// limitRequest is a limit that a command takes from, and the subject.
type limitRequest struct {
	kind    string
	subject []string
}

// take is Allow for kinds that need not have a limit, all or none of them, and for commands that need not have limits. It is one round trip.
func (l *Limits) take(ctx context.Context, all ...limitRequest) error {
	if l == nil {
		return nil
	}
	all = slices.DeleteFunc(all, func(t limitRequest) bool { _, there := l.kinds[t.kind]; return !there })
	if len(all) < 2 {
		return l.takeEach(ctx, all)
	}
	decisions, err := l.limiter.AllowAll(ctx, l.takesOf(all)...)
	switch {
	case errors.Is(err, ports.ErrForeignValue): // of one of them, and each has its own way to fail
		return l.takeEach(ctx, all)
	case err != nil:
		return l.unasked(ctx, err, all)
	}
	if last := len(decisions) - 1; !decisions[last].Allowed {
		l.refused.Add(1)
		return &ports.LimitedError{Kind: all[last].kind, RetryAfter: decisions[last].RetryAfter}
	}
	return nil
}

// takesOf returns the takes from limits that are set.
func (l *Limits) takesOf(all []limitRequest) []ports.Take {
	takes := make([]ports.Take, len(all))
	for i, t := range all {
		takes[i] = ports.Take{Limit: l.kinds[t.kind].limit(), N: 1, Name: append([]string{t.kind}, t.subject...)}
	}
	return takes
}

// takeEach takes those first that may fail the call because they cannot be checked.
func (l *Limits) takeEach(ctx context.Context, all []limitRequest) error {
	open := func(t limitRequest) int {
		if l.kinds[t.kind].closed(t.kind) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b limitRequest) int { return open(a) - open(b) })
	for _, t := range all {
		if _, err := l.Allow(ctx, t.kind, t.subject...); err != nil {
			return err
		}
	}
	return nil
}

// unasked returns the result of a call whose limits could not be checked.
//
// A caller whose own time is up is never let through: its limit was not checked because the caller did not wait.
func (l *Limits) unasked(ctx context.Context, err error, all []limitRequest) error {
	if ended := ports.Ended(ctx, err); ended != nil {
		return fmt.Errorf("limit %q: %w", all[0].kind, ended)
	}
	for _, t := range all {
		if errors.Is(err, domain.ErrInvalid) || errors.Is(err, ports.ErrClosed) || l.kinds[t.kind].closed(t.kind) {
			return fmt.Errorf("limit %q: %w", t.kind, err)
		}
	}
	l.unchecked.Add(1)
	return nil
}
