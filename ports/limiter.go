package ports

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"chatcore/domain"
)

// Limiter counts actions per name and refuses those beyond a limit.
type Limiter interface {
	// Allow takes n of a name's remaining limit, in one step: no more concurrent calls succeed than the limit allows. A refused call takes nothing.
	// With n = 0 it only reports. Time is the store's own. The parts of the name are kept apart: ("a:b") is another name than ("a", "b"). A name has
	// as many states as there are algorithms; a changed limit continues with the counts of the one before.
	//
	// Errors: a [*domain.InvalidError] for takes that [CheckTake] refuses, [ErrUnavailable], [ErrForeignValue]. With any of them nothing is known to
	// have been taken.
	Allow(ctx context.Context, limit Limit, n int, name ...string) (Decision, error)
	// AllowAll is Allow for several limits of different names, in one step: it takes from all of them or from none. It gives a decision for each, up
	// to the first that refuses. A store with the names on different servers, as a Cluster has them, may take them one after another: takes before a
	// refusal, or an error, then stay.
	AllowAll(ctx context.Context, takes ...Take) ([]Decision, error)
}

// Take is the take of one of several limits.
type Take struct {
	Limit Limit
	N     int
	Name  []string
}

// Algorithm is how a limit counts.
type Algorithm uint8

// The algorithms.
const (
	// FixedWindow begins a window of Per with the first call and takes Rate calls in it; so twice as many may come at the border of two.
	FixedWindow Algorithm = iota
	// GCRA takes a call each Per / Rate, and Burst of them at once after a pause (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm).
	GCRA
)

// String returns "window" or "gcra".
func (a Algorithm) String() string {
	switch a {
	case FixedWindow:
		return "window"
	case GCRA:
		return "gcra"
	}
	return "Algorithm(" + strconv.Itoa(int(a)) + ")"
}

// Limit is how much is allowed.
type Limit struct {
	Algorithm Algorithm     // Defaults to FixedWindow
	Rate      int           // calls in Per, 1 to 1,000,000,000
	Per       time.Duration // a millisecond to 366 days
	Burst     int           // GCRA only: calls at once. Defaults to Rate
}

// Decision is the decision of a limiter.
type Decision struct {
	Allowed    bool
	Remaining  int           // of the limit, after this take
	RetryAfter time.Duration // after which the same call is allowed, unless others come before it; 0 if it was allowed
	ResetAfter time.Duration // after which all is as if nothing had been taken
}

// Bounds of limits and of names.
const (
	maxRate      = 1_000_000_000
	maxPer       = 366 * 24 * time.Hour
	maxNameParts = 4
	MaxNamePart  = 256 // bytes of a part of a limiter's name
)

// Capacity is how much may be taken at once.
func (l Limit) Capacity() int {
	if l.Algorithm == GCRA && l.Burst > 0 {
		return l.Burst
	}
	return l.Rate
}

// Check returns an error if the limit is not valid.
func (l Limit) Check() error {
	refuse := func(what string, problem any, allowed string) error {
		return &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("has the %s %v", what, problem), Allowed: allowed}
	}
	switch {
	case l.Algorithm > GCRA:
		return refuse("algorithm", l.Algorithm, "FixedWindow, GCRA")
	case l.Rate < 1 || l.Rate > maxRate:
		return refuse("rate", l.Rate, "1 to "+strconv.Itoa(maxRate))
	case l.Per < time.Millisecond || l.Per > maxPer:
		return refuse("period", l.Per, "1ms to "+maxPer.String())
	case l.Burst < 0 || l.Burst > maxRate || l.Burst > 0 && l.Algorithm != GCRA:
		return refuse("burst", l.Burst, "0, and with GCRA 1 to "+strconv.Itoa(maxRate))
	case l.Algorithm == GCRA && l.Per/time.Duration(l.Rate) < time.Microsecond:
		return refuse("rate", fmt.Sprintf("%d in %v", l.Rate, l.Per), "with GCRA at most one in a microsecond")
	case l.Algorithm == GCRA && float64(l.Per)/float64(l.Rate)*float64(l.Capacity()) > float64(maxPer):
		return refuse("burst", l.Burst, "what is there again within "+maxPer.String())
	}
	return nil
}

// CheckTake returns an error for a take that no limiter accepts.
func CheckTake(limit Limit, n int, name []string) error {
	if err := limit.Check(); err != nil {
		return err
	}
	if n < 0 || n > limit.Capacity() {
		return &domain.InvalidError{Field: "n", Problem: "is " + strconv.Itoa(n), Allowed: "0 to " + strconv.Itoa(limit.Capacity()) + ", what the limit allows at once"}
	}
	if len(name) < 1 || len(name) > maxNameParts {
		return &domain.InvalidError{Field: "name", Problem: fmt.Sprintf("has %d parts", len(name)), Allowed: "1 to " + strconv.Itoa(maxNameParts)}
	}
	for _, part := range name {
		if part == "" || len(part) > MaxNamePart {
			return &domain.InvalidError{Field: "name", Problem: fmt.Sprintf("has a part of %d bytes", len(part)), Allowed: "1 to " + strconv.Itoa(MaxNamePart) + " bytes"}
		}
	}
	return nil
}

// CheckTakes is [CheckTake] for each of at least one.
func CheckTakes(takes []Take) error {
	if len(takes) == 0 {
		return &domain.InvalidError{Field: "takes", Problem: "is empty", Allowed: "at least one"}
	}
	for _, t := range takes {
		if err := CheckTake(t.Limit, t.N, t.Name); err != nil {
			return err
		}
	}
	return nil
}

// ErrRateLimited is something that was done too often; the error is a [*LimitedError].
var ErrRateLimited = errors.New("rate limited")

// LimitedError says of which kind there was too much, and when to try again.
type LimitedError struct {
	Kind       string
	RetryAfter time.Duration
}

func (e *LimitedError) Error() string {
	return fmt.Sprintf("%v: %s; try again in %v", ErrRateLimited, e.Kind, e.RetryAfter.Round(time.Millisecond))
}

// Is reports that a LimitedError is [ErrRateLimited].
func (e *LimitedError) Is(target error) bool { return target == ErrRateLimited }

// TakeError is returned by an append that one of its limits did not let, or that a limit could not be checked for. Nothing was appended, and
// nothing taken.
type TakeError struct {
	Place    int      // in [Append.Takes]
	Decision Decision // of the limit that refused
	Cause    error    // of a limit that could not be checked: a [*ForeignValueError] or [ErrUnavailable]; nil if the limit refused
}

func (e *TakeError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("limit %d of the append: %v", e.Place, e.Cause)
	}
	return fmt.Sprintf("%v by limit %d of the append; try again in %v", ErrRateLimited, e.Place, e.Decision.RetryAfter.Round(time.Millisecond))
}

// Is reports that a TakeError without a cause is [ErrRateLimited].
func (e *TakeError) Is(target error) bool { return e.Cause == nil && target == ErrRateLimited }

// Unwrap returns the cause.
func (e *TakeError) Unwrap() error { return e.Cause }
