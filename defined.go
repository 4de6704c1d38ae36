package chatcore

import (
	"context"
	"errors"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/ports/groups"
)

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

func (c *Core) newDefinitions() *subscribers.Administration {
	return subscribers.NewAdministration(subscribers.AdministrationConfig{
		Definitions: c.backend.defined, Groups: c.backend.groups, Create: c.createGroup, Reserved: BuiltinGroup,
	})
}

// createGroup creates a defined group where it does not exist.
func (c *Core) createGroup(ctx context.Context, of group.Config) error {
	config := c.groupConfig(&registration{group: of.Group, start: of.Start}).Config
	config.Store, config.Partitions = c.backend.groups.Store(of.Group), c.backend.groups.Partitions()
	return errors.Join(group.Create(ctx, config), config.Store.Close())
}
