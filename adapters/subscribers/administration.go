package subscribers

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// ErrGroupOfCode is returned for a group that is to be defined, or whose definition is to be changed, and that exists without one: the code of processes runs
// it.
var ErrGroupOfCode = errors.New("the code of processes runs the consumer group")

// Administration defines groups, and changes and removes their definitions. A change made through it takes effect in this process at once, and in the others
// within about a second. It works whether or not the process runs defined groups. Its methods are safe for concurrent use.
//
// Its errors are [*domain.InvalidError], [groups.ErrDefined], [groups.ErrNotDefined], [groups.ErrDefinitionChanged], [groups.ErrNewerDefinition],
// [ErrGroupOfCode], [groups.ErrGroupNotFound] and [ports.ErrUnavailable]. After the last the call may have had its effect; it may be repeated.
type Administration struct {
	definitions groups.Definitions
	groups      groups.Admin
	create      func(ctx context.Context, c group.Config) error
	reserved    string
	changed     func()
}

// AdministrationConfig configures an [Administration]. All fields are required unless they say otherwise.
type AdministrationConfig struct {
	Definitions groups.Definitions
	Groups      groups.Admin
	// Create creates a group where it does not exist, as [group.Create] does with the configuration of the process.
	Create   func(ctx context.Context, c group.Config) error
	Reserved string // name that no defined group may have; "": none
	Changed  func() // is called after each change, and must not block; may be nil
}

// NewAdministration returns an administration.
func NewAdministration(c AdministrationConfig) *Administration {
	a := &Administration{definitions: c.Definitions, groups: c.Groups, create: c.Create, reserved: c.Reserved, changed: c.Changed}
	if a.changed == nil {
		a.changed = func() {}
	}
	return a
}

// named adds the name of the group to an error about its definition.
func named(name string, err error) error {
	for _, about := range []error{groups.ErrDefined, groups.ErrNotDefined, groups.ErrDefinitionChanged, groups.ErrNewerDefinition, ErrGroupOfCode} {
		if errors.Is(err, about) {
			return fmt.Errorf("%w: %q", err, name)
		}
	}
	return err
}

// Create defines a group: every process that runs defined groups runs it from now on. Events that are appended after Create has returned reach it. A group
// that has the same definition already is returned as it is, so that a call may be repeated; [groups.ErrDefined] is returned for another one.
//
// A webhook is compared without its secrets.
func (a *Administration) Create(ctx context.Context, d groups.Definition) (groups.Definition, error) {
	if err := a.check(d); err != nil {
		return groups.Definition{}, err
	}
	defined, err := a.define(ctx, d)
	if err != nil {
		return groups.Definition{}, named(d.Group, err)
	}
	a.changed()
	// The definition is first: a call that fails in between can be repeated, while a group without a definition would look like one of code.
	if err := a.create(ctx, GroupConfig(defined.WithDefaults())); err != nil {
		return groups.Definition{}, fmt.Errorf("creating the group: %w", err)
	}
	return defined, nil
}

// define stores a definition, or returns the present one if it is the same.
func (a *Administration) define(ctx context.Context, d groups.Definition) (groups.Definition, error) {
	present, err := a.definitions.Definition(ctx, d.Group)
	if errors.Is(err, groups.ErrNotDefined) {
		exists, err := a.groups.Exists(ctx, d.Group)
		switch {
		case err != nil:
			return groups.Definition{}, err
		case exists:
			return groups.Definition{}, ErrGroupOfCode
		}
		defined, err := a.definitions.Define(ctx, d)
		if !errors.Is(err, groups.ErrDefined) {
			return defined, err
		}
		if present, err = a.definitions.Definition(ctx, d.Group); err != nil {
			return groups.Definition{}, err
		}
	} else if err != nil {
		return groups.Definition{}, err
	}
	if !same(present, d) {
		return groups.Definition{}, groups.ErrDefined
	}
	return present, nil
}

// same reports whether a first definition of a group says the same as another one. Nothing has changed it since.
func same(present, d groups.Definition) bool {
	initial := func(d groups.Definition) groups.Definition {
		d = d.Clone().WithDefaults()
		d.Version, d.CreatedAt, d.UpdatedAt = 0, present.CreatedAt, present.CreatedAt
		if d.Webhook != nil {
			d.Webhook.Secrets = nil
		}
		return d
	}
	return present.Version == 1 && reflect.DeepEqual(initial(present), initial(d))
}

// check returns a [*domain.InvalidError] for a definition that is not allowed.
func (a *Administration) check(d groups.Definition) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if a.reserved != "" && d.Group == a.reserved {
		return &domain.InvalidError{Field: "group", Problem: fmt.Sprintf("is %q, the group of the built-in subscribers", d.Group), Allowed: "another name"}
	}
	for i, typ := range d.Filter.Types {
		if !wireformat.IsDurable(typ) && wireformat.CheckCustomType(domain.CustomType(typ)) != nil {
			return &domain.InvalidError{
				Field: fmt.Sprintf("settings.eventTypes[%d]", i), Problem: fmt.Sprintf("is %q, which no durable event has", typ),
				Allowed: "a type of durable events, such as message:new or poll:created",
			}
		}
	}
	return nil
}

// Update changes the definition of a group. version is that of the definition which is changed, and [groups.ErrDefinitionChanged] is returned if the present
// one is another; 0 means the present one, whichever it is. change may be called more than once. Kind, start and order never change. A definition that is as change
// makes it already is returned as it is, so that a call may be repeated.
func (a *Administration) Update(ctx context.Context, name string, version uint64, change func(d *groups.Definition) error) (groups.Definition, error) {
	d, err := a.update(ctx, name, version, change)
	return d, named(name, err)
}

func (a *Administration) update(ctx context.Context, name string, version uint64, change func(d *groups.Definition) error) (groups.Definition, error) {
	for {
		if err := groups.CheckGroup(name); err != nil {
			return groups.Definition{}, err
		}
		d, err := a.definitions.Definition(ctx, name)
		if errors.Is(err, groups.ErrNotDefined) {
			return groups.Definition{}, a.notDefined(ctx, name)
		}
		if err != nil {
			return groups.Definition{}, err
		}
		before := d.Clone()
		if err := change(&d); err != nil {
			return groups.Definition{}, err
		}
		d = d.Clone()
		d.Group, d.Kind, d.Version, d.Start, d.Unordered = name, before.Kind, before.Version, before.Start, before.Unordered
		d.CreatedAt, d.UpdatedAt = before.CreatedAt, before.UpdatedAt
		switch err := a.check(d); {
		case err != nil:
			return groups.Definition{}, err
		case reflect.DeepEqual(before, d):
			return before, nil
		case version != 0 && before.Version != version:
			return groups.Definition{}, groups.ErrDefinitionChanged
		}
		d, err = a.definitions.Redefine(ctx, d)
		if version == 0 && errors.Is(err, groups.ErrDefinitionChanged) {
			continue
		}
		if err != nil {
			return groups.Definition{}, err
		}
		a.changed()
		return d, nil
	}
}

// notDefined returns [ErrGroupOfCode] for a group that exists, and [groups.ErrNotDefined] for one that does not.
func (a *Administration) notDefined(ctx context.Context, name string) error {
	switch exists, err := a.groups.Exists(ctx, name); {
	case err != nil:
		return err
	case exists:
		return ErrGroupOfCode
	}
	return groups.ErrNotDefined
}

// Pause has a group deliver nothing until it is resumed; what is in flight may end. Its lag grows meanwhile. reason says why, and is empty if a person asked
// for it. A group that is paused already keeps its reason.
func (a *Administration) Pause(ctx context.Context, name, reason string) (groups.Definition, error) {
	return a.unless(ctx, name, func(d groups.Definition) bool { return d.Paused }, func(d *groups.Definition) { d.Paused, d.PauseReason = true, reason })
}

// Resume ends a pause.
func (a *Administration) Resume(ctx context.Context, name string) (groups.Definition, error) {
	return a.unless(ctx, name, func(d groups.Definition) bool { return !d.Paused }, func(d *groups.Definition) { d.Paused, d.PauseReason = false, "" })
}

// errAsWanted ends an update that changes nothing.
var errAsWanted = errors.New("as wanted")

// unless changes a definition unless it is as wanted already, and returns it.
func (a *Administration) unless(ctx context.Context, name string, asWanted func(groups.Definition) bool, change func(*groups.Definition)) (groups.Definition, error) {
	var present groups.Definition
	d, err := a.Update(ctx, name, 0, func(d *groups.Definition) error {
		if present = *d; asWanted(*d) {
			return errAsWanted
		}
		change(d)
		return nil
	})
	if errors.Is(err, errAsWanted) {
		return present, nil
	}
	return d, err
}

// Delete removes a group with its definition and its dead letters. Events that it has not finished are never delivered to it. It also removes a group
// without a definition. [groups.ErrGroupNotFound] is returned if there is neither.
func (a *Administration) Delete(ctx context.Context, name string) error {
	if err := groups.CheckGroup(name); err != nil {
		return fmt.Errorf("%w: %.160q", groups.ErrGroupNotFound, name)
	}
	undefined := a.definitions.Undefine(ctx, name)
	if undefined != nil && !errors.Is(undefined, groups.ErrNotDefined) {
		return undefined
	}
	a.changed()
	err := a.groups.Delete(ctx, name)
	if errors.Is(err, groups.ErrGroupNotFound) && undefined == nil { // it was defined, and never ran
		return nil
	}
	return err
}

// List returns all definitions, sorted by group.
func (a *Administration) List(ctx context.Context) ([]groups.Definition, error) {
	all, _, err := a.definitions.Definitions(ctx)
	return all, err
}

// Get returns the definition of a group, or [groups.ErrNotDefined].
func (a *Administration) Get(ctx context.Context, name string) (groups.Definition, error) {
	if err := groups.CheckGroup(name); err != nil {
		return groups.Definition{}, err
	}
	d, err := a.definitions.Definition(ctx, name)
	return d, named(name, err)
}
