package chatcore

import (
	"context"
	"errors"
	"iter"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// Contradiction is a structure of the log, or of a view of it, that contradicts another one.
type Contradiction struct {
	Kind     string        // names the rule: "segment", "head", …; stable across versions
	Chat     domain.ChatID // "" if it is of no one chat
	Seq      domain.Seq    // of the event that it is about; 0 if it is about none
	Group    string        // consumer group; "" for the log itself
	Key      string        // that is wrong
	What     string        // text of the contradiction
	Repair   string        // effect of a repair; "" if the log does not determine one
	Lost     string        // data that no repair restores, and the consequence
	Repaired bool
}

// FsckConfig configures [Core.Fsck].
type FsckConfig struct {
	Repair bool          // correct structures that follow from the log. Defaults to false: nothing is changed
	Chat   domain.ChatID // only this chat. Defaults to all of the log
}

// ErrNoFsck is returned by [Core.Fsck] of a core that is not on Redis.
var ErrNoFsck = errors.New("the core's log is not in Redis")

// errStopped ends a check whose caller wants no more.
var errStopped = errors.New("stopped")

// Fsck checks every structure of the log against the others, and yields each contradiction: segments, indexes, sets of chats, delivery streams,
// consumer groups with their dead letters, and the views of the built-in subscribers. With Repair it corrects first all structures that follow from
// the log. It names lost data with the consequences, and invents none. Iteration stops at the first error, which means that the check could not
// finish. [domain.ErrChatNotFound] if there is no such chat.
//
// It runs beside all other calls: concurrent changes are no contradiction. It reads in small steps and rests between them as long as each took. Its
// time follows the size of the log: about 20 µs an event.
func (c *Core) Fsck(ctx context.Context, config FsckConfig) iter.Seq2[Contradiction, error] {
	return func(yield func(Contradiction, error) bool) {
		if c.backend.redis == nil {
			yield(Contradiction{}, ErrNoFsck)
			return
		}
		newer := make(map[domain.ChatID]bool)
		report := func(found ports.Contradiction) error {
			if found.Kind == "newer" {
				newer[found.Chat] = true
			}
			if !yield(Contradiction(found), nil) {
				return errStopped
			}
			return nil
		}
		skip := func(chat domain.ChatID) bool { return newer[chat] }
		if err := c.fsck(ctx, c.backend.redis, config, report, skip); err != nil && !errors.Is(err, errStopped) {
			yield(Contradiction{}, err)
		}
	}
}

// FsckIdentity checks that every partition of a configuration's log carries the log's identity, without opening a core: a partition that does not
// keeps [New] from opening one ([ports.ErrLogLost]). It yields contradictions as [Core.Fsck] does, and nothing if there is no log. A partition that still
// has keys of the log can be repaired; the chats of one without any are lost. FsckConfig.Chat has no effect.
func FsckIdentity(ctx context.Context, config Config, check FsckConfig) iter.Seq2[Contradiction, error] {
	return func(yield func(Contradiction, error) bool) {
		report := func(found ports.Contradiction) error {
			if !yield(Contradiction(found), nil) {
				return errStopped
			}
			return nil
		}
		err := onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) error {
			return eventlog.FsckIdentity(ctx, client.UniversalClient, keys, eventlog.FsckConfig{Repair: check.Repair, Report: report})
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Contradiction{}, err)
		}
	}
}

// fsck checks the log first, because the rest is checked against it.
func (c *Core) fsck(ctx context.Context, r *onRedis, config FsckConfig, report func(ports.Contradiction) error, skip func(domain.ChatID) bool) error {
	if err := r.log.Fsck(ctx, eventlog.FsckConfig{Chat: config.Chat, Repair: config.Repair, Report: report}); err != nil {
		return err
	}
	groups := r.groups
	err := groups.Fsck(ctx, redisgroup.FsckConfig{
		Backlog: r.log, Codec: r.codec, Chat: config.Chat, Partition: r.keys.Partition(config.Chat), Repair: config.Repair, Report: report,
	})
	if err != nil {
		return err
	}
	check := projection.ViewsCheck{Repair: config.Repair, Skip: skip, Report: report, Handled: func(ctx context.Context, chat domain.ChatID) (domain.Seq, error) {
		return groups.Checkpoint(ctx, BuiltinGroup, r.keys.Partition(chat), chat)
	}}
	if config.Chat != "" {
		return c.readModels.CheckViews(ctx, config.Chat, check)
	}
	for chat, err := range r.log.Chats(ctx) {
		if errors.Is(err, ports.ErrCorrupt) { // a contradiction of the log; the chats that are there were checked
			break
		}
		if err == nil {
			err = c.readModels.CheckViews(ctx, chat, check)
		}
		if err != nil {
			return err
		}
	}
	return c.readModels.CheckUsers(ctx, check)
}
