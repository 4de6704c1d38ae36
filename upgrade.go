package chatcore

import (
	"context"
	"errors"

	"chatcore/adapters/redis"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
)

// LogLevel is the highest level of a log that this program knows; a new log is made at it. See docs/upgrading.md.
const LogLevel = eventlog.Level

// LogInfo is the identity of a log.
type LogInfo struct {
	ID         string // "" if there is no log
	Level      int    // the lowest level of the partitions
	Highest    int    // the highest level of the partitions; above Level while an upgrade is in progress or interrupted
	Partitions int    // 0 if unknown
	Names      Names  // the stored names. A log at level 1 stores none
}

// UpgradeConfig configures [Upgrade].
type UpgradeConfig struct {
	To     int               // the level to reach. Defaults to [LogLevel]
	Names  map[string]string // names to change: the fields of [Names], and Channels/ with the type of an event. "" is the default
	DryRun bool              // return the steps and change nothing
}

// UpgradeStep is one change of a partition.
type UpgradeStep struct {
	Partition int // from 0
	From, To  int // levels
	Renamed   bool
}

// FindLog finds the log of a configuration's namespace without opening a core, for any number of partitions and any names. It changes nothing. An ID
// of "" means that there is no log yet. It returns [ErrURL], [ErrUnreachable], [ErrRejected] or [ports.ErrUnavailable].
func FindLog(ctx context.Context, config Config) (info LogInfo, err error) {
	err = onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) error {
		found, err := eventlog.Find(ctx, client.UniversalClient, keys)
		info = LogInfo{ID: found.ID, Level: found.Level, Highest: found.Highest, Partitions: found.Partitions, Names: Names(found.Names)}
		return err
	})
	return info, err
}

// Upgrade raises the level of a log, or changes its names, in every partition. Programs that do not know the level, or have other names, stop with
// [ports.ErrNewerLog] or [ErrLogDiffers]; the others go on. An upgrade that was interrupted is finished by the next one. It returns the steps that it
// took or, with DryRun, would take.
func Upgrade(ctx context.Context, config Config, upgrade UpgradeConfig) (steps []UpgradeStep, err error) {
	err = onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) error {
		taken, err := eventlog.Upgrade(ctx, client.UniversalClient, keys, eventlog.UpgradeConfig(upgrade))
		for _, step := range taken {
			steps = append(steps, UpgradeStep(step))
		}
		return err
	})
	return steps, err
}

// RewriteProgress is what a rewrite has done so far.
type RewriteProgress struct {
	Chats     int   // that were examined
	Segments  int   // closed segments of these chats
	Rewritten int   // of these segments
	Changed   int   // segments that another process changed meanwhile, which the next rewrite examines again
	Events    int   // that have the compact form now and had not
	Saved     int64 // bytes of entries
}

// Rewrite stores older events of a log at level 3 or above in the compact form, while programs use it. It rewrites the full segments of 1,024 events
// before the segment of a chat's head, each atomically, and pauses after each for as long as that took. An interrupted rewrite is continued by the next
// one. report, unless it is nil, is called after each chat; if it returns an error, the rewrite ends with it. Rewrite returns an [ErrInvalid] if the log
// is below level 3.
func Rewrite(ctx context.Context, config Config, report func(RewriteProgress) error) (done RewriteProgress, err error) {
	err = onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) error {
		progress, err := eventlog.Rewrite(ctx, client.UniversalClient, keys, func(p eventlog.RewriteProgress) error {
			if report == nil {
				return nil
			}
			return report(RewriteProgress(p))
		})
		done = RewriteProgress(progress)
		return err
	})
	return done, err
}

// onLog calls use with a client and the keys of a configuration.
func onLog(ctx context.Context, config Config, use func(client *conn.Client, keys keyspace.Keys) error) error {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return err
	}
	settings := redisConfig(config)
	keys, err := redis.NewKeys(settings.Keyspace)
	if err != nil {
		return err
	}
	client, err := redis.DialCommands(ctx, settings.Servers)
	if err != nil {
		return err
	}
	return errors.Join(use(client, keys), client.Close())
}
