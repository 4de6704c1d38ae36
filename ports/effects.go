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
	// What was made is remembered for [EffectTTL], or as long as the store was told to; a delivery that comes again later than that
	// makes the effect again.
	Once(ctx context.Context, name string, id DeliveryID, e Effect) (bool, error)
}

// EffectTTL is how long effects are remembered unless the store is told otherwise.
const EffectTTL = 7 * 24 * time.Hour

// Effect is what is to be made, in the forms that stores carry out in one step with remembering it: each store takes its own and leaves
// the other.
type Effect struct {
	// On is what the effect is made on, a user's counter for example: the same name and delivery on something else is another effect.
	// In a store that is spread over servers it says where: all keys of the commands must lie where On as a key would. Defaults
	// to the key of the first command.
	On string
	// Commands are carried out by a store that has commands, in their order, all or none.
	Commands []Command
	// Func is called by a store in the process. If it fails the effect counts as not made.
	Func func(ctx context.Context) error
}

// Command is a command of the store: its name and its arguments, the first of which is its key.
type Command []string

// Place is what the effect is made on.
func (e Effect) Place() string {
	if e.On == "" && len(e.Commands) > 0 && len(e.Commands[0]) > 1 {
		return e.Commands[0][1]
	}
	return e.On
}

// CheckEffect says what no store takes of a name and an identity, or nil.
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

// ForeignValueError names what holds something else.
type ForeignValueError struct {
	Key   string
	Holds string // what it holds
	For   string // what it does not do for: a command, a view
}

func (e *ForeignValueError) Error() string {
	return fmt.Sprintf("%v: %q holds %s, not what %s needs", ErrForeignValue, e.Key, e.Holds, e.For)
}

// Is reports that a ForeignValueError is [ErrForeignValue].
func (e *ForeignValueError) Is(target error) bool { return target == ErrForeignValue }
