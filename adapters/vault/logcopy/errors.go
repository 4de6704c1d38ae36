package logcopy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Sentinels of a vault that cannot be read as asked.
var (
	// ErrLogNotFound is returned for a log that the vault does not have; the error is a [*LogError].
	ErrLogNotFound = errors.New("the vault does not have the log")
	// ErrSeveralLogs is returned if the vault has several logs of which none continues all others; the error is a [*LogError].
	ErrSeveralLogs = errors.New("the vault has several logs")
	// ErrIncomplete is returned for a vault that does not have a whole copy of the log yet; the error is an [*IncompleteError].
	ErrIncomplete = errors.New("the vault has no complete copy of the log yet")
	// ErrErased is returned for a vault with erased events if [Config.Erase] is nil.
	ErrErased = errors.New("the vault has erased events, and this program cannot leave out their content")
)

// LogError says which logs a vault has.
type LogError struct {
	Asked string   // log id; "" for the newest log
	Found []string // log ids
}

func (e *LogError) Error() string {
	found := strings.Join(e.Found, ", ")
	switch {
	case len(e.Found) == 0:
		return fmt.Sprintf("%v: it has no log", ErrLogNotFound)
	case e.Asked != "":
		return fmt.Sprintf("%v: it has %s, not %q", ErrLogNotFound, found, e.Asked)
	}
	return fmt.Sprintf("%v: name one of %s", ErrSeveralLogs, found)
}

// Is reports whether the error is [ErrLogNotFound] or [ErrSeveralLogs].
func (e *LogError) Is(target error) bool {
	if e.Asked == "" && len(e.Found) > 0 {
		return target == ErrSeveralLogs
	}
	return target == ErrLogNotFound
}

// IncompleteError names the partitions that lack a full tail.
type IncompleteError struct {
	Log        string
	Partitions []int
	Journaled  bool // the vault has events of the log
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("%v: log %s, partitions %s have no full tail; keep a program with this vault running until it has written them", ErrIncomplete, e.Log, strings.Trim(fmt.Sprint(e.Partitions), "[]"))
}

// Is reports that an IncompleteError is [ErrIncomplete].
func (e *IncompleteError) Is(target error) bool { return target == ErrIncomplete }

// impossible returns the error of a moment that the vault cannot give. from is the first moment that it can, in Unix milliseconds.
func impossible(at, from uint64, problem string) error {
	return &domain.InvalidError{Field: "at", Problem: "is " + spelled(at) + problem, Allowed: spelled(from) + " or later"}
}

func spelled(ms uint64) string {
	return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z") //nolint:gosec // a time
}

// corrupt returns the error of an event that the vault contradicts or does not have.
func corrupt(chat domain.ChatID, seq domain.Seq, format string, args ...any) error {
	return &ports.CorruptError{Chat: chat, Seq: seq, Cause: fmt.Errorf(format, args...)}
}

// missing returns the error of an object that must exist, because later ones do.
func missing(name string) error {
	return &ports.CorruptError{Key: name, Cause: fmt.Errorf("%w, and later ones exist", ports.ErrObjectNotFound)}
}
