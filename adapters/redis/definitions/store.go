package definitions

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// revisionField is the field of the revision: no group has this name.
const revisionField = ""

// Store keeps the definitions. A read is one round trip, a change two; a change that meets another one takes two more.
type Store struct {
	client       goredis.UniversalClient
	key          string
	read, change *goredis.Script
}

var _ groups.Definitions = (*Store)(nil)

// New returns a store with the given key. It does not close the client.
func New(client goredis.UniversalClient, keys keyspace.Definitions) *Store {
	return &Store{client: client, key: keys.Key(), read: goredis.NewScript(readSource), change: goredis.NewScript(changeSource)}
}

// Definitions implements [groups.Definitions].
func (s *Store) Definitions(ctx context.Context) (all []groups.Definition, revision uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	fields, err := s.client.HGetAll(ctx, s.key).Result()
	if err != nil {
		return nil, 0, s.failed(ctx, err)
	}
	for group, text := range fields {
		if group == revisionField {
			revision, _ = strconv.ParseUint(text, 10, 64)
			continue
		}
		all = append(all, decode(group, text))
	}
	slices.SortFunc(all, func(a, b groups.Definition) int { return cmp.Compare(a.Group, b.Group) })
	return all, revision, nil
}

// Revision implements [groups.Definitions].
func (s *Store) Revision(ctx context.Context) (uint64, error) {
	text, err := s.field(ctx, revisionField)
	if err != nil {
		return 0, err
	}
	revision, _ := strconv.ParseUint(text, 10, 64)
	return revision, nil
}

// Definition implements [groups.Definitions].
func (s *Store) Definition(ctx context.Context, group string) (groups.Definition, error) {
	if err := groups.CheckGroup(group); err != nil {
		return groups.Definition{}, err
	}
	text, err := s.field(ctx, group)
	switch {
	case err != nil:
		return groups.Definition{}, err
	case text == "":
		return groups.Definition{}, groups.ErrNotDefined
	}
	return decode(group, text), nil
}

// field returns the text of a field, "" if there is none.
func (s *Store) field(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	text, err := s.client.HGet(ctx, s.key, name).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return "", s.failed(ctx, err)
	}
	return text, nil
}

// Define implements [groups.Definitions].
func (s *Store) Define(ctx context.Context, d groups.Definition) (groups.Definition, error) {
	if err := d.Validate(); err != nil {
		return groups.Definition{}, err
	}
	return s.write(ctx, d.Group, func(now time.Time, before string) (groups.Definition, error) {
		if before != "" {
			return groups.Definition{}, groups.ErrDefined
		}
		d.Version, d.CreatedAt, d.UpdatedAt = 1, now, now
		return d, nil
	})
}

// Redefine implements [groups.Definitions].
func (s *Store) Redefine(ctx context.Context, d groups.Definition) (groups.Definition, error) {
	if err := d.Validate(); err != nil {
		return groups.Definition{}, err
	}
	return s.write(ctx, d.Group, func(now time.Time, before string) (groups.Definition, error) {
		if before == "" {
			return groups.Definition{}, groups.ErrNotDefined
		}
		if err := changeable(before); err != nil {
			return groups.Definition{}, err
		}
		return decode(d.Group, before).Replace(d, now)
	})
}

// Undefine implements [groups.Definitions].
func (s *Store) Undefine(ctx context.Context, group string) error {
	if err := groups.CheckGroup(group); err != nil {
		return err
	}
	for there := false; ; there = true {
		_, before, err := s.present(ctx, group)
		switch {
		case err != nil:
			return err
		case before == "" && there: // another call has removed it since
			return nil
		case before == "":
			return groups.ErrNotDefined
		}
		if done, err := s.replace(ctx, group, before, ""); done || err != nil {
			return err
		}
	}
}

// write replaces the definition of a group by the one that next makes of the present text, "" for none. It calls next again if the definition has changed
// meanwhile.
func (s *Store) write(ctx context.Context, group string, next func(now time.Time, before string) (groups.Definition, error)) (groups.Definition, error) {
	for {
		now, before, err := s.present(ctx, group)
		if err != nil {
			return groups.Definition{}, err
		}
		d, err := next(now, before)
		if err != nil {
			return groups.Definition{}, err
		}
		text, err := encode(d, rand.Text())
		if err != nil {
			return groups.Definition{}, err
		}
		done, err := s.replace(ctx, group, before, text)
		if err != nil {
			return groups.Definition{}, err
		}
		if done {
			return decode(group, text), nil
		}
	}
}

// present returns the time and the text of a definition, "" for none.
func (s *Store) present(ctx context.Context, group string) (now time.Time, text string, err error) {
	if err := ctx.Err(); err != nil {
		return now, "", err
	}
	reply, err := s.read.Run(ctx, s.client, []string{s.key}, group).StringSlice()
	if err != nil {
		return now, "", s.failed(ctx, err)
	}
	if len(reply) != 2 {
		return now, "", fmt.Errorf("%w: the reply has %d parts", ports.ErrUnavailable, len(reply))
	}
	ms, _ := strconv.ParseInt(reply[0], 10, 64)
	return time.UnixMilli(ms).UTC(), reply[1], nil
}

// replace writes the text of a definition if its present one is before. It reports whether the definition has the text.
func (s *Store) replace(ctx context.Context, group, before, text string) (done bool, err error) {
	reply, err := s.change.Run(ctx, s.client, []string{s.key}, group, before, text).Int()
	if err != nil {
		return false, s.failed(ctx, err)
	}
	return reply == 1, nil
}

// failed translates the error of a command.
func (s *Store) failed(ctx context.Context, err error) error {
	if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
		return &ports.ForeignValueError{Key: s.key, Holds: "another kind of value", For: "HGET"}
	}
	return rediscmd.Unavailable(ctx, err)
}
