package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"chatcore/ports"
	"chatcore/ports/groups"
)

// Definitions keeps definitions of groups by a clock.
type Definitions struct {
	clock ports.Clock

	mu       sync.Mutex // guards the fields below
	all      map[string]groups.Definition
	revision uint64
}

var _ groups.Definitions = (*Definitions)(nil)

// NewDefinitions returns a store without definitions.
func NewDefinitions(clock ports.Clock) *Definitions {
	return &Definitions{clock: clock, all: make(map[string]groups.Definition)}
}

// Definitions implements [groups.Definitions].
func (s *Definitions) Definitions(ctx context.Context) (all []groups.Definition, revision uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range maps.Values(s.all) {
		all = append(all, d.Clone())
	}
	slices.SortFunc(all, func(a, b groups.Definition) int { return cmp.Compare(a.Group, b.Group) })
	return all, s.revision, nil
}

// Revision implements [groups.Definitions].
func (s *Definitions) Revision(ctx context.Context) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, nil
}

// Definition implements [groups.Definitions].
func (s *Definitions) Definition(ctx context.Context, group string) (d groups.Definition, err error) {
	err = s.with(ctx, group, func(present groups.Definition, defined bool) error {
		if !defined {
			return groups.ErrNotDefined
		}
		d = present.Clone()
		return nil
	})
	return d, err
}

// Define implements [groups.Definitions].
func (s *Definitions) Define(ctx context.Context, d groups.Definition) (groups.Definition, error) {
	if err := d.Validate(); err != nil {
		return groups.Definition{}, err
	}
	err := s.with(ctx, d.Group, func(_ groups.Definition, defined bool) error {
		if defined {
			return groups.ErrDefined
		}
		d = d.Clone()
		d.Version, d.CreatedAt = 1, s.now()
		d.UpdatedAt = d.CreatedAt
		s.put(d)
		return nil
	})
	return result(d, err)
}

// Redefine implements [groups.Definitions].
func (s *Definitions) Redefine(ctx context.Context, d groups.Definition) (groups.Definition, error) {
	if err := d.Validate(); err != nil {
		return groups.Definition{}, err
	}
	err := s.with(ctx, d.Group, func(present groups.Definition, defined bool) (err error) {
		if !defined {
			return groups.ErrNotDefined
		}
		if d, err = present.Replace(d, s.now()); err == nil {
			s.put(d)
		}
		return err
	})
	return result(d, err)
}

// Undefine implements [groups.Definitions].
func (s *Definitions) Undefine(ctx context.Context, group string) error {
	return s.with(ctx, group, func(_ groups.Definition, defined bool) error {
		if !defined {
			return groups.ErrNotDefined
		}
		delete(s.all, group)
		s.revision++
		return nil
	})
}

// with calls do with the definition of a group, with the mutex held.
func (s *Definitions) with(ctx context.Context, group string, do func(present groups.Definition, defined bool) error) error {
	if err := groups.CheckGroup(group); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	present, defined := s.all[group]
	return do(present, defined)
}

// put stores a definition. The mutex is held.
func (s *Definitions) put(d groups.Definition) {
	s.all[d.Group] = d
	s.revision++
}

// now returns the time in the precision of stores.
func (s *Definitions) now() time.Time { return s.clock.Now().UTC().Truncate(time.Millisecond) }

// result returns a copy of a definition that a store keeps, or the error of its change.
func result(d groups.Definition, err error) (groups.Definition, error) {
	if err != nil {
		return groups.Definition{}, err
	}
	return d.Clone(), nil
}
