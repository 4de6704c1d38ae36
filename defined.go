package chatcore

import (
	"context"
	"errors"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/ports/groups"
)

// SubscribeDefined has this process run the groups whose handlers are in other programs, as their definitions say, from the start of the core on: also those
// that are defined later. The process follows changes of the definitions within about a second. Groups that the code of this process subscribes to have
// precedence over definitions of the same name, and count first among [DeliveryConfig.MaxGroups]. A group that cannot run is a finding of [Core.Health], is
// tried again, and hurts no other group.
//
// SubscribeDefined returns [ErrRunning] after the start and [ErrClosed] after the end of the core. Calling it twice is calling it once.
func (c *Core) SubscribeDefined() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fresh(); err != nil {
		return lateCall("SubscribeDefined", err)
	}
	c.runsDefined = true
	return nil
}

// Errors of definitions of groups.
var (
	// ErrGroupDefined is returned when a group is defined that has another definition.
	ErrGroupDefined = groups.ErrDefined
	// ErrGroupNotDefined is returned for a group without a definition: it does not exist, or the code of processes runs it.
	ErrGroupNotDefined = groups.ErrNotDefined
	// ErrDefinitionChanged is returned for a change of a version of a definition that is not the present one.
	ErrDefinitionChanged = groups.ErrDefinitionChanged
	// ErrNewerDefinition is returned for a change of a definition that a later version of the program has written.
	ErrNewerDefinition = groups.ErrNewerDefinition
	// ErrGroupOfCode is returned when a group is defined that the code of processes runs.
	ErrGroupOfCode = subscribers.ErrGroupOfCode
)

// Definitions returns the administration of groups whose handlers are in other programs. Their definitions are stored beside the log, and every process that
// calls [Core.SubscribeDefined] runs them.
func (c *Core) Definitions() *subscribers.Administration { return c.definitions }

// openDefinitions makes the administration of definitions, and the manager that follows them.
func (c *Core) openDefinitions() {
	c.runners = map[groups.Kind]subscribers.Runner{groups.KindPull: c.consumers}
	c.defined = subscribers.NewManager(subscribers.Config{
		Definitions: c.backend.defined, Groups: c.backend.groups, Join: c.joiner(), Runners: c.runners, Logger: c.config.Logger,
	})
	c.definitions = subscribers.NewAdministration(subscribers.AdministrationConfig{
		Definitions: c.backend.defined, Groups: c.backend.groups, Create: c.createGroup, Reserved: BuiltinGroup, Changed: c.defined.Refresh,
	})
}

// runDefined runs the defined groups, unless the process does not, until ctx ends. stop bounds the end.
func (c *Core) runDefined(ctx, stop context.Context) {
	if c.followsDefined() {
		c.defined.Run(ctx, stop)
	}
}

// followsDefined reports whether the process runs defined groups.
func (c *Core) followsDefined() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runsDefined
}

// DefinedGroup is a defined group as a process runs it.
type DefinedGroup struct {
	Group  string
	Kind   groups.Kind // "" if the definition cannot be read
	Paused bool
	State  subscribers.State
	Err    error     // why the group does not run, if its state is failed, or why this process may not reach the endpoint of a webhook
	Since  time.Time // of the failure
}

// definedGroups returns the defined groups that this process runs, by name.
func (c *Core) definedGroups() (list []DefinedGroup) {
	for _, s := range c.defined.Statuses() {
		d := s.Definition
		g := DefinedGroup{Group: d.Group, Kind: d.Kind, Paused: d.Paused, State: s.State, Err: s.Err, Since: s.Since}
		if endpoint, runs := c.webhookRunner.Status(d.Group); runs && g.Err == nil {
			g.Err = endpoint.Problem
		}
		list = append(list, g)
	}
	return list
}

// createGroup creates a defined group where it does not exist.
func (c *Core) createGroup(ctx context.Context, of group.Config) error {
	config := c.groupConfig(&registration{group: of.Group, start: of.Start}).Config
	config.Store, config.Partitions = c.backend.groups.Store(of.Group), c.backend.groups.Partitions()
	return errors.Join(group.Create(ctx, config), config.Store.Close())
}

// definedCount names defined groups that are counted together.
type definedCount struct{ kind, state string }

// countDefined returns the number of defined groups by kind and state, with all known kinds and states. It returns nil in a process that runs no defined
// groups.
func (c *Core) countDefined() map[definedCount]int {
	if !c.followsDefined() {
		return nil
	}
	n := make(map[definedCount]int)
	for _, kind := range groups.Kinds() {
		for _, state := range subscribers.States() {
			n[definedCount{string(kind), string(state)}] = 0
		}
	}
	for _, s := range c.defined.Statuses() {
		kind := string(s.Definition.Kind)
		if c.runners[s.Definition.Kind] == nil {
			kind = "unknown"
		}
		n[definedCount{kind, string(s.State)}]++
	}
	return n
}
