package eventlog

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// FsckIdentity checks that every partition and cc:log have the log's identity. It needs no open log, because [Open] refuses a log with a partition
// that lacks its identity. A partition that still has keys of the log gets its identity again. A partition without keys is only reported: its chats
// are lost, and a log that continues without them would treat them as chats that never existed. FsckIdentity finds nothing if there is no log.
//
// It returns an error if it cannot finish, if the partitions belong to several logs, or if the log has a newer level.
func FsckIdentity(ctx context.Context, client goredis.UniversalClient, all keyspace.Keys, c FsckConfig) error {
	keys := all.Log()
	client = conn.Unwrap(client)
	seen, err := look(ctx, client, keys)
	if err != nil || seen.empty() {
		return err
	}
	found, _, err := agreed(seen.values, Level)
	var apart *PartitionsError
	if errors.As(err, &apart) && len(apart.Foreign)+len(apart.Levels) == 0 {
		for _, p := range apart.Missing {
			if err := restoreIdentity(ctx, client, keys, p, found, c); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil || found.level <= bareLevel || seen.record.logIdentity == found && seen.record.ready {
		return err
	}
	return c.found(ports.Contradiction{
		Kind: "identity", Key: keys.Record(), What: "the record of the log is missing, or differs from the partitions", Repair: "it is written anew",
	}, func() error { return client.HSet(ctx, keys.Record(), append(found.fields(), "ready", "1")...).Err() })
}

func restoreIdentity(ctx context.Context, client goredis.UniversalClient, keys keyspace.Log, p int, found logIdentity, c FsckConfig) error {
	n, err := client.Exists(ctx, keys.Chats(p), keys.Count(p), keys.Stream(p)).Result()
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	missing := ports.Contradiction{Kind: "identity", Key: keys.ID(p), What: fmt.Sprintf("partition %d does not carry the identity of log %s", p, found.id)}
	if n == 0 {
		missing.Lost = "the partition has no key of the log: its chats are lost; restore it from a backup"
		return c.found(missing, nil)
	}
	missing.Repair = "it gets the identity that the other partitions carry"
	return c.found(missing, func() error { return client.SetNX(ctx, keys.ID(p), found.String(), 0).Err() })
}

// found reports a contradiction. If repairs are enabled and correct is not nil, it corrects the contradiction first.
func (c FsckConfig) found(found ports.Contradiction, correct func() error) error {
	if correct != nil && c.Repair {
		if err := correct(); err != nil {
			return fmt.Errorf("repairing %s: %w: %w", found.Key, ports.ErrUnavailable, err)
		}
		found.Repaired = true
	}
	return c.Report(found)
}
