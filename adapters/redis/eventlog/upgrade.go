package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Info describes a log.
type Info struct {
	ID         string         // "" if there is no log
	Level      int            // the lowest level of the partitions
	Highest    int            // the highest level of the partitions; above Level while an upgrade is in progress or interrupted
	Partitions int            // 0 if unknown
	Names      keyspace.Names // the stored names. A log at level 1 stores none
}

// Find finds the log of a namespace without opening it: by cc:log or, if that is lost, by the partitions. It changes nothing. keys may have other
// partitions and names than the log. An ID of "" means that there is no log.
func Find(ctx context.Context, client goredis.UniversalClient, keys keyspace.Keys) (Info, error) {
	seen, own, err := find(ctx, conn.Unwrap(client), keys.Log())
	if err != nil || own.IsZero() {
		return Info{}, err
	}
	found, level, err := agreed(seen.values, maxLevel)
	if found.id == "" { // the partitions have no identity
		found, level = seen.record.logIdentity, seen.record.level
	}
	info := Info{ID: found.id, Level: level, Highest: found.level, Partitions: own.PartitionCount(), Names: own.Names()}
	var apart *PartitionsError
	if errors.As(err, &apart) {
		err = nil // Open returns this error
	}
	return info, err
}

// maxLevel is above any level. A caller that only reads passes it to parse the identities of any level.
const maxLevel = 1 << 30

// find reads the log with its own number of partitions and names, and returns keys with these. The keys are zero if there is no log.
func find(ctx context.Context, client goredis.UniversalClient, keys keyspace.Log) (sight, keyspace.Log, error) {
	seen, err := look(ctx, client, keys)
	if err != nil {
		return seen, keyspace.Log{}, err
	}
	stored := seen.record.logIdentity
	if !seen.record.there {
		found, _, err := agreed(seen.values, maxLevel)
		switch {
		case found.id != "":
			stored = found
		case err != nil && !seen.empty():
			return seen, keyspace.Log{}, err
		default:
			there := false
			if stored, there, err = stray(ctx, client, keys, maxLevel); err != nil || !there {
				return seen, keyspace.Log{}, err
			}
		}
	}
	if stored.partitions < 1 || stored.partitions > keyspace.MaxPartitions { // level 1 without cc:log
		return seen, keys, nil
	}
	names := keys.Names()
	if stored.level > bareLevel && stored.level <= Level {
		if names, err = keyspace.NamesOf(stored.names); err != nil {
			return seen, keyspace.Log{}, err
		}
	}
	other := names.UncheckedKeys(keys.Prefix(), stored.partitions, keys.Cluster()).Log()
	if !other.SameTags(keys) {
		if seen, err = look(ctx, client, other); err != nil {
			return seen, keyspace.Log{}, err
		}
	}
	if found, _, _ := agreed(seen.values, maxLevel); found.level > bareLevel && found.level <= Level && found.names != stored.names { // cc:log is outdated
		if names, err = keyspace.NamesOf(found.names); err != nil {
			return seen, keyspace.Log{}, err
		}
		other = names.UncheckedKeys(keys.Prefix(), stored.partitions, keys.Cluster()).Log()
	}
	return seen, other, nil
}

// UpgradeConfig is the configuration of Upgrade.
type UpgradeConfig struct {
	To     int               // the level to reach. Defaults to [Level]
	Names  map[string]string // names to change, in the form of [Names.With]
	DryRun bool              // return the steps and change nothing
}

// UpgradeStep is one change of a partition's identity.
type UpgradeStep struct {
	Partition int // from 0
	From, To  int // levels
	Renamed   bool
}

// Upgrade raises the level of a log, or changes its names, in every partition. From the step of a partition on, programs that do not know the level
// or have other names can no longer write to it or read it; other programs continue. Each partition changes atomically, and on a single server all of
// them together. The next Upgrade finishes an interrupted one: it skips the partitions that have changed already. Upgrade returns its steps in order.
//
// It returns a [*ports.LogLevelError] if the log is above the levels that this program knows. It returns a [*domain.InvalidError] for a level below
// the log's or above [Level], and for invalid names.
func Upgrade(ctx context.Context, client goredis.UniversalClient, keys keyspace.Keys, c UpgradeConfig) ([]UpgradeStep, error) {
	return upgrade(ctx, conn.Unwrap(client), keys.Log(), c, Level)
}

func upgrade(ctx context.Context, client goredis.UniversalClient, keys keyspace.Log, c UpgradeConfig, known int) (taken []UpgradeStep, err error) {
	for range rediscmd.Routes { // other processes may upgrade it meanwhile
		var again bool
		var steps []UpgradeStep
		steps, again, err = upgradeOnce(ctx, client, keys, c, known)
		if taken = append(taken, steps...); err != nil || !again {
			return taken, err
		}
	}
	return taken, fmt.Errorf("%w: partitions keep changing", ports.ErrConflict)
}

func upgradeOnce(ctx context.Context, client goredis.UniversalClient, keys keyspace.Log, c UpgradeConfig, known int) (steps []UpgradeStep, again bool, err error) {
	seen, keys, err := find(ctx, client, keys)
	switch {
	case err != nil:
		return nil, false, err
	case keys.IsZero():
		return nil, false, noLog()
	}
	found, level, err := agreed(seen.values, known)
	if err != nil {
		return nil, false, err
	}
	want, err := c.target(found, level, keys, known)
	if err != nil {
		return nil, false, err
	}
	var olds []string
	for p, value := range seen.values {
		i, _ := parseIdentity(value, known)
		if value != want.String() {
			steps = append(steps, UpgradeStep{p, i.level, want.level, i.level > bareLevel && i.names != want.names})
			olds = append(olds, value)
		}
	}
	if len(steps) == 0 || c.DryRun {
		return steps, false, nil
	}
	done, again, err := want.write(ctx, client, keys, steps, olds)
	if err != nil || again {
		return steps[:done], again, err
	}
	err = client.HSet(ctx, keys.Record(), append(want.fields(), "ready", "1")...).Err()
	return steps, false, rediscmd.Unavailable(ctx, err)
}

func noLog() error {
	return &domain.InvalidError{Field: "namespace", Problem: "has no log", Allowed: "the namespace of a log; the first program that opens a core creates one"}
}

// target returns the identity that all partitions must get.
func (c UpgradeConfig) target(found logIdentity, level int, keys keyspace.Log, known int) (logIdentity, error) {
	want := logIdentity{id: found.id, level: max(c.To, found.level), partitions: keys.PartitionCount(), hash: keyspace.HashName}
	if c.To == 0 {
		want.level = max(known, found.level)
	}
	if c.To != 0 && (c.To < level || c.To < found.level || c.To > known) {
		return want, &domain.InvalidError{
			Field: "level", Problem: "is " + strconv.Itoa(c.To),
			Allowed: fmt.Sprintf("%d to %d: the level of the log, which cannot be lowered, to the highest that this program knows", found.level, known),
		}
	}
	names := keys.Names()
	for name, value := range c.Names {
		if err := names.Set(name, value); err != nil {
			return want, err
		}
	}
	if err := names.WithDefaults().Check(); err != nil {
		return want, err
	}
	if len(c.Names) > 0 && want.level <= bareLevel {
		return want, &domain.InvalidError{Field: "names", Problem: "cannot be stored at level 1", Allowed: "a change of names at level 2 or above"}
	}
	if keys.PartitionCount() == 1 && names.WithDefaults().Stream != keys.Names().Stream {
		return want, &domain.InvalidError{Field: "Redis.Names.Stream", Problem: "is part of every key of a log with one partition", Allowed: "its present value, " + strconv.Quote(keys.Names().Stream)}
	}
	if want.names = names.Text(); want.level <= bareLevel {
		want.names = ""
	}
	return want, nil
}

// write changes the partitions of the steps, on a single server all at once. It returns the number of changed partitions, and true if another process
// has changed one meanwhile.
func (i logIdentity) write(ctx context.Context, client goredis.UniversalClient, keys keyspace.Log, steps []UpgradeStep, olds []string) (done int, again bool, err error) {
	together := len(steps)
	if keys.Cluster() {
		together = 1
	}
	script := goredis.NewScript(raiseSource)
	for done < len(steps) {
		ids, args := make([]string, 0, together), []any{i.String()}
		for n := done; n < done+together; n++ {
			ids, args = append(ids, keys.ID(steps[n].Partition)), append(args, olds[n])
		}
		changed, err := script.Run(ctx, client, ids, args...).Int()
		if err != nil {
			return done, false, rediscmd.Unavailable(ctx, err)
		}
		if changed == 0 {
			return done, true, nil
		}
		done += together
	}
	return done, false, nil
}
