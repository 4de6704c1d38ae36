package chatcore

import (
	"context"
	"errors"

	"chatcore/adapters/pubsub/group"
	"chatcore/ports/groups"
)

// joinDefined is the [group.Joiner] of defined groups.
func (c *Core) joinDefined(ctx context.Context, of group.Config, h group.Handler) (group.Membership, error) {
	config := c.groupConfig(&registration{group: of.Group, start: of.Start, poison: of.OnPoison, concurrency: of.Concurrency}).Config
	config.Order, config.Key, config.Retry = of.Order, of.Key, of.Retry
	config.Store, config.Partitions = c.backend.groups.Store(of.Group), c.backend.groups.Partitions()
	if err := c.admitDefined(of.Group); err != nil {
		return nil, err
	}
	member, err := group.Join(ctx, config, h)
	if err != nil {
		return nil, errors.Join(err, config.Store.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		member.Run(context.WithoutCancel(ctx))
		_ = config.Store.Close()
	}()
	return definedMember{member, ended}, nil
}

// admitDefined returns why the process cannot run a defined group, or nil.
func (c *Core) admitDefined(name string) error {
	running := 0
	for _, g := range c.definedGroups() {
		if g.State == "running" {
			running++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.groups {
		if other.group == name {
			return duplicateGroup(other)
		}
	}
	if most := c.maxGroups(); len(c.groups)+running >= most {
		return &TooManyGroupsError{Group: name, Allowed: most}
	}
	return nil
}

// definedMember is the membership in a defined group.
type definedMember struct {
	*group.Member
	ended chan struct{}
}

// Done implements [group.Membership].
func (m definedMember) Done() <-chan struct{} { return m.ended }

// Leave implements [group.Membership].
func (m definedMember) Leave(context.Context) error {
	m.Stop()
	<-m.ended
	return nil
}

// Err implements [group.Membership].
func (m definedMember) Err() error {
	if err := m.Member.Err(); errors.Is(err, groups.ErrGroupDeleted) {
		return groups.ErrGroupDeleted
	}
	return m.Member.Err()
}
