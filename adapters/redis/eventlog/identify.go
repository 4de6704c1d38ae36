package eventlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// record is the content of the hash cc:log. It decides which of several processes creates a new log, and describes the log to programs that do not
// know it yet. If it differs from the partitions, the partitions are right.
type record struct {
	logIdentity

	there     bool
	ready     bool   // every partition has the log's identity
	restoring string // token of the restore that writes the log; "" if it is whole
	ancestors string // JSON of the logs that this one continues
}

func recordOf(fields map[string]string) record {
	r := record{there: len(fields) > 0, ready: fields["ready"] == "1", restoring: fields["restoring"], ancestors: fields["ancestors"]}
	r.id, r.hash, r.names = fields["log_id"], fields["hash"], fields["names"]
	r.partitions, _ = strconv.Atoi(fields["partitions"])
	if r.level, _ = strconv.Atoi(fields["level"]); r.level == 0 {
		r.level = bareLevel
	}
	return r
}

func (i logIdentity) fields() []any {
	return []any{"log_id", i.id, "partitions", i.partitions, "hash", i.hash, "names", i.names, "level", i.level}
}

// sight is the state of a log in Redis: the partitions' identities and cc:log.
type sight struct {
	values []string // of the id key of each partition, "" for none
	record record
}

func (s sight) empty() bool {
	return !slices.ContainsFunc(s.values, func(value string) bool { return value != "" })
}

// look returns the state of a log. It returns [ports.ErrRestoring] for a log that is not whole yet.
func look(ctx context.Context, client goredis.UniversalClient, k keyspace.Log) (sight, error) {
	seen, err := peek(ctx, client, k)
	if err == nil && seen.restoring() {
		err = fmt.Errorf("%w: log %s; wait for the restore or, if it was interrupted, start it again with --replace-unfinished", ports.ErrRestoring, seen.record.id)
	}
	return seen, err
}

// restoring reports whether a restore has begun to write the log and not finished it.
func (s sight) restoring() bool {
	return s.record.restoring != "" || slices.ContainsFunc(s.values, func(value string) bool { return strings.HasPrefix(value, restoringPrefix) })
}

// peek reads the partitions' identities first and then cc:log. A process that creates a log writes cc:log first, so partitions with an identity but
// without cc:log are a log that has lost it.
func peek(ctx context.Context, client goredis.UniversalClient, k keyspace.Log) (sight, error) {
	ids := make([]string, k.PartitionCount())
	for p := range ids {
		ids[p] = k.ID(p)
	}
	values, err := identities(ctx, client, ids)
	if err != nil {
		return sight{}, err
	}
	fields, err := client.HGetAll(ctx, k.Record()).Result()
	if err != nil {
		return sight{}, rediscmd.Unavailable(ctx, err)
	}
	return sight{values, recordOf(fields)}, nil
}

// identities reads id keys in one round trip. For a key of another type it returns a value that is no identity.
func identities(ctx context.Context, client goredis.UniversalClient, keys []string) ([]string, error) {
	replies := make([]*goredis.StringCmd, len(keys))
	_, _ = client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, key := range keys {
			replies[i] = p.Get(ctx, key)
		}
		return nil
	})
	values := make([]string, len(keys))
	for i, reply := range replies {
		switch err := reply.Err(); {
		case err == nil:
			values[i] = reply.Val()
			if values[i] == "" {
				values[i] = identityEnd
			}
		case errors.Is(err, goredis.Nil):
		case rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE"):
			values[i] = identityEnd + "another type"
		default:
			return nil, rediscmd.Unavailable(ctx, err)
		}
	}
	return values, nil
}

// configured returns the identity that a log created by this program would have.
func (l *Log) configured() logIdentity {
	return logIdentity{level: l.known, partitions: l.keys.PartitionCount(), hash: keyspace.HashName, names: l.keys.Names().Text()}
}

// identify finds the log or creates it, and compares its identity with this program's.
func (l *Log) identify(ctx context.Context) error {
	seen, err := look(ctx, l.client, l.keys)
	if err != nil {
		return err
	}
	if seen, err = l.claim(ctx, seen); err != nil {
		return err
	}
	found, level, err := agreed(seen.values, l.known)
	if err != nil {
		return l.explained(err, seen)
	}
	if err := found.differs(l.configured()); err != nil {
		return err
	}
	if found.level <= bareLevel { // then only cc:log may have the number of partitions
		switch r := seen.record; {
		case r.id != found.id:
			return fmt.Errorf("%w: cc:log is gone, and at level 1 the partitions of log %s do not contain their number; core upgrade with the right --partitions restores it", ports.ErrLogLost, found.id)
		case r.partitions != l.keys.PartitionCount():
			return partitionsDiffer(r.partitions, l.keys.PartitionCount())
		}
		found.partitions, found.hash = l.keys.PartitionCount(), keyspace.HashName
	}
	ancestors, err := parseAncestors(l.keys.Record(), seen.record.ancestors)
	if err != nil {
		return err
	}
	l.id, l.oldest, found.level = found.id, found.id, level
	if n := len(ancestors); n > 0 && seen.record.id == found.id {
		l.oldest = ancestors[n-1].Log
	}
	if err := l.hold(seen.values); err != nil {
		return err
	}
	if r := seen.record; r.logIdentity != found || !r.ready {
		if r.ready || !r.there {
			l.logger.WarnContext(ctx, "cc:log was lost or differs, it is restored from the partitions", "log_id", found.id)
		}
		if err := l.client.HSet(ctx, l.keys.Record(), append(found.fields(), "ready", "1")...).Err(); err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
	}
	return l.learnHistories(ctx)
}

// explained replaces a [*PartitionsError] by a more precise error if the log has other settings or a newer level.
func (l *Log) explained(err error, seen sight) error {
	wrong, ok := errors.AsType[*PartitionsError](err)
	if !ok {
		return err
	}
	known := []logIdentity{seen.record.logIdentity}
	for _, value := range seen.values {
		if i, ok := parseIdentity(value, l.known); ok && i.level > bareLevel {
			known = append(known, i)
		}
	}
	for _, i := range known {
		switch {
		case i.id == "":
		case i.level > l.known:
			return &ports.LogLevelError{Log: i.id, Level: i.level, Known: l.known}
		case i.partitions != l.keys.PartitionCount():
			return partitionsDiffer(i.partitions, l.keys.PartitionCount())
		default:
			if err := i.differs(l.configured()); err != nil {
				return err
			}
		}
	}
	if wrong.Log == "" {
		wrong.Log = seen.record.id
	}
	return wrong
}

// claim creates the log if there is none, or finishes a creation that another process began. It returns the state after that.
func (l *Log) claim(ctx context.Context, seen sight) (sight, error) {
	r := seen.record
	if seen.empty() && !r.there {
		if err := l.elsewhere(ctx); err != nil {
			if seen, again := look(ctx, l.client, l.keys); again == nil && seen.record.there { // another process has created it meanwhile
				return l.claim(ctx, seen)
			}
			return seen, err
		}
		fresh := make([]byte, 16)
		_, _ = rand.Read(fresh) // never fails since Go 1.24
		made := l.configured()
		made.id = hex.EncodeToString(fresh)
		fields, err := goredis.NewScript(identifySource).Run(ctx, l.client, []string{l.keys.Record()}, append(made.fields(), "ready", "0")...).StringSlice()
		if err != nil {
			return seen, rediscmd.Unavailable(ctx, err)
		}
		all := make(map[string]string)
		for i := 0; i+1 < len(fields); i += 2 {
			all[fields[i]] = fields[i+1]
		}
		r = recordOf(all)
	}
	switch {
	case !r.there:
		return seen, nil
	case r.ready && slices.Contains(seen.values, ""): // perhaps they were set between the two reads
		return look(ctx, l.client, l.keys)
	case r.ready:
		return seen, nil
	}
	for _, value := range seen.values {
		if i, ok := parseIdentity(value, l.known); value != "" && (!ok || i.id != r.id) {
			return seen, nil // another log, whose missing partitions must not become this one's
		}
	}
	if r.level > l.known {
		return seen, &ports.LogLevelError{Log: r.id, Level: r.level, Known: l.known}
	}
	if r.partitions != l.keys.PartitionCount() {
		return seen, partitionsDiffer(r.partitions, l.keys.PartitionCount())
	}
	if err := r.differs(l.configured()); err != nil {
		return seen, err
	}
	_, err := l.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range l.keys.PartitionCount() {
			p.SetNX(ctx, l.keys.ID(i), r.String(), 0)
		}
		return nil
	})
	if err != nil {
		return seen, rediscmd.Unavailable(ctx, err)
	}
	return look(ctx, l.client, l.keys)
}

// elsewhere checks for a log of the namespace with another number of partitions, before a new log is created: without cc:log nothing else reveals it.
// Every log has a partition 0, whose tag has few values over all numbers of partitions.
func (l *Log) elsewhere(ctx context.Context) error {
	other, found, err := stray(ctx, l.client, l.keys, l.known)
	if err != nil || !found {
		return err
	}
	if other.level > bareLevel && other.level <= l.known {
		if err := other.differs(l.configured()); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: cc:log is gone, and log %s of this namespace has other keys than those of %d partitions and the stream %s; configure the values with which it was created", ports.ErrLogLost, other.id, l.keys.PartitionCount(), l.keys.Names().Stream)
}

func stray(ctx context.Context, client goredis.UniversalClient, k keyspace.Log, known int) (logIdentity, bool, error) {
	values, err := identities(ctx, client, k.FirstIDs())
	if err != nil {
		return logIdentity{}, false, err
	}
	for _, value := range values {
		if i, ok := parseIdentity(value, known); ok {
			return i, true, nil
		}
	}
	return logIdentity{}, false, nil
}

// hold stores the partitions' identities, which scripts compare. On a single server they must be equal, because a batch covers several partitions.
func (l *Log) hold(values []string) error {
	if !l.keys.Cluster() && slices.ContainsFunc(values, func(value string) bool { return value != values[0] }) {
		levels := make(map[int]int)
		for p, value := range values {
			i, _ := parseIdentity(value, l.known)
			levels[p] = i.level
		}
		return &PartitionsError{Log: l.id, Levels: levels}
	}
	for p, value := range values {
		l.held[p].Store(&field{[]byte(value)})
	}
	return nil
}

// Guard returns the identity of a partition that this process has stored. Scripts compare it with the partition's.
func (l *Log) Guard(partition int) string { return string(l.held[partition].Load().bytes) }

// Recheck returns the reason for which a script found another identity in a partition than held. It returns nil if the same log is at another level,
// which this program knows: the caller then runs the script again with the result of [Log.Guard]. Otherwise it returns a [*ports.LogLevelError], a
// [*ports.LogDiffersError] or [ports.ErrLogLost]. It takes one round trip.
func (l *Log) Recheck(ctx context.Context, partition int, held string) error {
	l.adopting.Lock()
	defer l.adopting.Unlock()
	if l.Guard(partition) != held { // another caller has already rechecked
		return nil
	}
	first, last := partition, partition+1
	if !l.keys.Cluster() {
		first, last = 0, l.keys.PartitionCount()
	}
	keys := make([]string, 0, last-first)
	for p := first; p < last; p++ {
		keys = append(keys, l.keys.ID(p))
	}
	values, err := identities(ctx, l.client, keys)
	if err != nil {
		return err
	}
	here, ok := parseIdentity(values[partition-first], l.known)
	if !ok || here.id != l.id {
		return l.lost(partition)
	}
	found, _, err := agreed(values, l.known)
	if err != nil {
		return err
	}
	if err := found.differs(l.configured()); err != nil {
		return err
	}
	if len(values) == l.keys.PartitionCount() {
		return l.hold(values)
	}
	l.held[partition].Store(&field{[]byte(values[0])})
	return nil
}

// Level returns the level that all partitions have reached, as far as this process knows. It learns of a higher one with the next append, load or
// probe.
func (l *Log) Level() int {
	lowest, _ := l.Levels()
	return lowest
}

// Levels returns the lowest and the highest level of the partitions, with the same limits as Level.
func (l *Log) Levels() (lowest, highest int) {
	for p := range l.held {
		i, _ := parseIdentity(l.Guard(p), l.known)
		highest = max(highest, i.level)
		if lowest == 0 || i.level < lowest {
			lowest = i.level
		}
	}
	return lowest, highest
}

// learnHistories stores the initial histories, which empty loads return.
func (l *Log) learnHistories(ctx context.Context) error {
	loads := make([]*goredis.Cmd, l.keys.PartitionCount())
	_, err := l.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range loads {
			loads[i] = l.scripts.load.Eval(ctx, p, []string{l.keys.ID(i)}, l.Guard(i), "", 0, "", 0)
		}
		return nil
	})
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	for i, load := range loads {
		reply, err := load.Slice()
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		if len(reply) < 2 {
			if err := l.Recheck(ctx, i, l.Guard(i)); err != nil {
				return err
			}
			return fmt.Errorf("%w: partition %d changed while the log was opened", ports.ErrUnavailable, i)
		}
		history, _ := reply[1].(string)
		if history == "" {
			return errNoHistory()
		}
		l.queueOf(i).observe(history)
	}
	return nil
}

func (l *Log) lost(partition int) error {
	return fmt.Errorf("%w: partition %d no longer holds log %s; Redis was flushed, restored or replaced", ports.ErrLogLost, partition, l.id)
}

// errNoHistory is returned when Redis does not report its replication ID. Without it a cache that does not match the data would go unnoticed.
func errNoHistory() error {
	return fmt.Errorf("%w: %w", ports.ErrUnavailable, &ports.RightsError{Commands: []string{"info"}, Cause: errors.New("INFO replication has no master_replid")})
}
