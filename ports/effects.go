package ports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
)

// Effects makes effects of deliveries once, however often and wherever a delivery is handled. It asks nothing of their order: a dead
// letter that is given again after later events, and an event that is in no log, have their effect once too.
type Effects interface {
	// Once makes the effect of the given name for the delivery of the given identity, unless it was made before, and reports whether
	// this call made it. The effect and that it was made are one step: neither is there without the other, also after a crash. Of
	// concurrent calls for one effect one makes it. An error means that it was not made, or that this is not known; the same call
	// may be made again in either case.
	//
	// A store remembers an effect for [EffectTTL] or its configured time; a delivery that is repeated later makes the effect again.
	Once(ctx context.Context, name string, id DeliveryID, e Effect) (bool, error)
}

// EffectTTL is the default time for which stores remember effects.
const EffectTTL = 7 * 24 * time.Hour

// Effect is an effect in the forms that stores carry out in one step with remembering it: each store uses its own form and ignores the other.
type Effect struct {
	// On names the target of the effect, such as a user's counter: the same name and delivery on another target is another effect. In a store on
	// several servers it selects the server: all keys of the commands must have the slot of On. Defaults to the key of the first command.
	On string
	// Commands are carried out by a store that has commands, in their order, all or none.
	Commands []Command
	// Func is called by a store in the process. If it fails the effect counts as not made.
	Func func(ctx context.Context) error
}

// Command is a command of the store: its name and its arguments, the first of which is its key.
type Command []string

// Place returns the target of the effect.
func (e Effect) Place() string {
	if e.On == "" && len(e.Commands) > 0 && len(e.Commands[0]) > 1 {
		return e.Commands[0][1]
	}
	return e.On
}

// CheckEffect returns an error for a name or an identity that no store accepts.
func CheckEffect(name string, id DeliveryID) error {
	if _, err := domain.ParseEventID(name); err != nil {
		return &domain.InvalidError{Field: "name", Problem: fmt.Sprintf("is %q", name), Allowed: "1 to 128 bytes of printable UTF-8 without spaces"}
	}
	if id.Event == "" {
		return &domain.InvalidError{Field: "id", Problem: "has no event id", Allowed: "the identity of a delivery"}
	}
	return nil
}

// ErrForeignValue is a write where something of another kind is than it needs; the error is a [*ForeignValueError]. Nothing was written.
var ErrForeignValue = errors.New("foreign value")

// ForeignValueError names a key that holds another type of value.
type ForeignValueError struct {
	Key   string
	Holds string // the type found
	For   string // the command or view that needs another type
}

func (e *ForeignValueError) Error() string {
	return fmt.Sprintf("%v: %q holds %s, not what %s needs", ErrForeignValue, e.Key, e.Holds, e.For)
}

// Is reports that a ForeignValueError is [ErrForeignValue].
func (e *ForeignValueError) Is(target error) bool { return target == ErrForeignValue }
