package chatcore

import (
	"context"

	"chatcore/domain"
	"chatcore/ports"
)

// Effect is an effect of [Core.Once]: commands for a core on Redis, a function for one in memory.
type Effect struct {
	// On names the target of the effect, such as a user's counter: the same name and delivery on another target is another effect. On a Cluster it
	// selects the server: all keys of the commands must have the slot of On. Defaults to the key of the first command.
	On string
	// Commands are carried out on Redis, in their order, all or none.
	Commands []Command
	// Func is called by a core in memory. If it fails the effect counts as not made.
	Func func(ctx context.Context) error
}

// Command is a command of Redis: its name, its key and its other arguments.
type Command = ports.Command

// Once makes a handler's effect once for each event, however often the event is delivered, and reports whether this call made it. An effect is
// identified by its name, the delivery's ID, and its target ([Effect].On, or the key of its first command).
//
// In Redis the commands of the effect and the marker that it was made are one step, so that no crash repeats or loses it. Commands are
// those that write one key, with its whole name; one of the event log or of chatcore's own records is refused with [domain.ErrInvalid]; on a Cluster all keys share a slot. A core in memory calls the effect's Func,
// and counts it as made if it succeeds. Markers live for [DeliveryConfig.EffectTTL], a week by default: a delivery that comes again later
// than that, from the dead letters say, makes the effect again.
//
// For an effect somewhere else, a row in a database or a push, have the delivery's ID stored or sent along with it there.
func (c *Core) Once(ctx context.Context, name string, id DeliveryID, e Effect) (made bool, err error) {
	if c.effects == nil {
		return false, &domain.InvalidError{Field: "effects", Problem: "have no store", Allowed: "the option WithEffects, beside WithEventLog"}
	}
	return c.effects.Once(ctx, name, ports.DeliveryID(id), ports.Effect(e))
}

// WithEffects replaces the store of the effects that [Core.Once] made.
func WithEffects(effects ports.Effects) Option {
	return func(p *overrides) { p.stores.Effects = effects }
}
