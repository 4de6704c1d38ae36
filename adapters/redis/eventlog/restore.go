package eventlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	// restoringPrefix begins the value of the id keys of a log that is not whole. No program takes the value for an identity.
	restoringPrefix = ";restoring;"
	// restoringLevel is the level of such a log: older programs refuse a level that they do not know.
	restoringLevel = 1 << 20
)

// ErrOccupied is returned by [BeginRestore] for a namespace with keys of a log; the error is an [*OccupiedError].
var ErrOccupied = errors.New("the namespace has a log")

// OccupiedError names what is in a namespace that should be empty.
type OccupiedError struct {
	Log string // id of the log, "" if there is none
	Key string // one of the keys
}

func (e *OccupiedError) Error() string {
	if e.Log != "" {
		return fmt.Sprintf("%v: %s; restore into an empty namespace", ErrOccupied, e.Log)
	}
	return fmt.Sprintf("%v, or remains of one: the key %s; restore into an empty namespace", ErrOccupied, e.Key)
}

// Is reports that an OccupiedError is [ErrOccupied].
func (e *OccupiedError) Is(target error) bool { return target == ErrOccupied }

// Ancestor is a log that a restore has continued without its last events.
type Ancestor struct {
	Log    string `json:"log"`
	ForkAt uint64 `json:"forkAt"` // the restored moment, in Unix milliseconds by the clock of Redis
}

// RestoreConfig is the configuration of [BeginRestore].
type RestoreConfig struct {
	ID                string     // of the log. Defaults to a new one
	Ancestors         []Ancestor // the youngest first
	ReplaceUnfinished bool       // delete what another restore has written that did not finish. That restore fails if it still runs
}

// Restore writes a log into an empty namespace. Until [Restore.Finish] no program can open the log: they return [ports.ErrRestoring] or, if they are older,
// another error. Its methods are safe for concurrent use.
type Restore struct {
	client    goredis.UniversalClient
	keys      keyspace.Log
	codec     *wireformat.Codec
	script    *goredis.Script
	identity  logIdentity
	ancestors string
	held      string // value of the id keys
}

// BeginRestore claims an empty namespace for a log at the highest level, with the partitions and names of keys. Of several concurrent calls one succeeds. It returns
//
//   - an [*OccupiedError] if there is a key of a log
//   - [ports.ErrRestoring] if another restore has begun and not finished
//   - [ports.ErrUnavailable] if Redis does not answer; the namespace may be claimed then
func BeginRestore(ctx context.Context, client goredis.UniversalClient, all keyspace.Keys, c RestoreConfig) (*Restore, error) {
	r := &Restore{client: conn.Unwrap(client), keys: all.Log(), codec: wireformat.New(), script: goredis.NewScript(restoreSource)}
	r.identity = logIdentity{id: c.ID, level: Level, partitions: r.keys.PartitionCount(), hash: keyspace.HashName, names: r.keys.Names().Text()}
	if c.ID == "" {
		r.identity.id = randomHex()
	}
	r.held = restoringPrefix + randomHex()
	if len(c.Ancestors) > 0 {
		ancestors, err := json.Marshal(c.Ancestors)
		if err != nil {
			return nil, err
		}
		r.ancestors = string(ancestors)
	}
	seen, err := peek(ctx, r.client, r.keys)
	if err != nil {
		return nil, err
	}
	if seen.restoring() && c.ReplaceUnfinished {
		return r, r.replace(ctx, seen)
	}
	if err := r.free(ctx, seen); err != nil {
		return nil, err
	}
	return r, r.claim(ctx)
}

func randomHex() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

// free returns nil if the namespace has no key of a log.
func (r *Restore) free(ctx context.Context, seen sight) error {
	if seen.restoring() {
		_, err := look(ctx, r.client, r.keys)
		return err
	}
	if seen.record.there {
		return &OccupiedError{Log: seen.record.id, Key: r.keys.Record()}
	}
	streams := make([]*goredis.IntCmd, r.keys.PartitionCount())
	_, err := r.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range streams {
			streams[i] = p.Exists(ctx, r.keys.Stream(i))
		}
		return nil
	})
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	for i, exists := range streams {
		if exists.Val() > 0 {
			return &OccupiedError{Key: r.keys.Stream(i)}
		}
	}
	return r.scan(ctx, "*", func(keys []string) error { return &OccupiedError{Key: keys[0]} })
}

// scan calls fn with the keys of the namespace that are chatcore's own and match a pattern, in pages that are not empty.
func (r *Restore) scan(ctx context.Context, pattern string, fn func(keys []string) error) error {
	nodes, err := rediscmd.Masters(ctx, r.client)
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	const page = 1000
	pattern = rediscmd.EscapePattern(r.keys.Prefix()) + keyspace.OwnPrefix + pattern
	for _, node := range nodes {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			var keys []string
			if keys, cursor, err = node.Scan(ctx, cursor, pattern, page).Result(); err != nil {
				return rediscmd.Unavailable(ctx, err)
			}
			if len(keys) > 0 {
				if err := fn(keys); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// record returns the fields of cc:log while the log is written.
func (r *Restore) record() []any {
	unknown := r.identity
	unknown.level = restoringLevel
	return append(unknown.fields(), "ready", "1", "restoring", r.held)
}

// claim writes cc:log unless there is one, and then the id keys. Programs that find cc:log first cannot create a log.
func (r *Restore) claim(ctx context.Context) error {
	fields, err := goredis.NewScript(identifySource).Run(ctx, r.client, []string{r.keys.Record()}, r.record()...).StringSlice()
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "restoring" && fields[i+1] == r.held {
			return r.claimPartitions(ctx)
		}
	}
	seen, err := peek(ctx, r.client, r.keys)
	if err != nil {
		return err
	}
	return r.free(ctx, seen)
}

func (r *Restore) claimPartitions(ctx context.Context) error {
	set := make([]*goredis.BoolCmd, r.keys.PartitionCount())
	_, err := r.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range set {
			set[i] = p.SetNX(ctx, r.keys.ID(i), r.held, 0)
		}
		return nil
	})
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	for i, cmd := range set {
		if !cmd.Val() {
			return &OccupiedError{Key: r.keys.ID(i)}
		}
	}
	return nil
}

// replace deletes everything that an unfinished restore has written, and claims the namespace. From its first step on the other restore cannot write.
func (r *Restore) replace(ctx context.Context, seen sight) error {
	old := r.keys
	if n := seen.record.partitions; n > 0 && n <= keyspace.MaxPartitions {
		names, err := keyspace.NamesOf(seen.record.names)
		if err != nil {
			return err
		}
		old = names.UncheckedKeys(old.Prefix(), n, old.Cluster()).Log()
	}
	ids := make([]string, old.PartitionCount())
	for p := range ids {
		ids[p] = old.ID(p)
	}
	values, err := identities(ctx, r.client, ids)
	if err != nil {
		return err
	}
	for p, value := range values {
		if value != "" && !strings.HasPrefix(value, restoringPrefix) {
			return &OccupiedError{Log: seen.record.id, Key: ids[p]}
		}
	}
	if err := r.client.HSet(ctx, r.keys.Record(), r.record()...).Err(); err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	if err := r.delete(ctx, ids...); err != nil { // first: the other restore compares them
		return err
	}
	for p := range old.PartitionCount() {
		pattern := rediscmd.EscapePattern("{"+old.Tag(p)+"}:") + "*"
		if err := r.scan(ctx, pattern, func(keys []string) error { return r.delete(ctx, keys...) }); err != nil {
			return err
		}
	}
	return r.claimPartitions(ctx)
}

func (r *Restore) delete(ctx context.Context, keys ...string) error {
	_, err := r.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, key := range keys {
			p.Unlink(ctx, key)
		}
		return nil
	})
	return rediscmd.Unavailable(ctx, err)
}

// ID returns the id of the log.
func (r *Restore) ID() string { return r.identity.id }

// Partition returns the partition of a chat.
func (r *Restore) Partition(chat domain.ChatID) int { return r.keys.Partition(chat) }

// Guard returns the value of a partition's id key while the log is written. Scripts of consumer groups compare it.
func (r *Restore) Guard(int) string { return r.held }

// Recheck returns the error of a write that found another value.
func (r *Restore) Recheck(context.Context, int, string) error { return r.replaced() }

func (r *Restore) replaced() error {
	return fmt.Errorf("%w: another restore has replaced this one", ports.ErrConflict)
}

// Finish makes the namespace a log that programs can open. All of it must have been written. On a single server that is one step; on a Cluster programs refuse
// the log until the last partition has its identity. It returns [ports.ErrConflict] if another restore has replaced this one.
func (r *Restore) Finish(ctx context.Context) error {
	token, err := r.client.HGet(ctx, r.keys.Record(), "restoring").Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return rediscmd.Unavailable(ctx, err)
	}
	if token != r.held {
		return r.replaced()
	}
	_, err = r.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		p.HSet(ctx, r.keys.Record(), append(r.identity.fields(), "ready", "1")...)
		p.HDel(ctx, r.keys.Record(), "restoring")
		if r.ancestors != "" {
			p.HSet(ctx, r.keys.Record(), "ancestors", r.ancestors)
		}
		return nil
	})
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	steps, olds := make([]UpgradeStep, r.keys.PartitionCount()), make([]string, r.keys.PartitionCount())
	for p := range steps {
		steps[p].Partition, olds[p] = p, r.held
	}
	_, again, err := r.identity.write(ctx, r.client, r.keys, steps, olds)
	if err == nil && again {
		err = r.replaced()
	}
	return err
}

// Ancestors returns the logs that this one continues, the youngest first. It takes one round trip.
func (l *Log) Ancestors(ctx context.Context) ([]Ancestor, error) {
	text, err := l.client.HGet(ctx, l.keys.Record(), "ancestors").Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	return parseAncestors(l.keys.Record(), text)
}

func parseAncestors(key, text string) (ancestors []Ancestor, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &ancestors); err != nil {
		return nil, &ports.CorruptError{Key: key, Cause: err}
	}
	return ancestors, nil
}
