package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// controlTimeout bounds one step of a group's control. It is far below a lease, so that a connection that swallows its input is replaced in time.
const controlTimeout = time.Second

// redisStore is the state of one consumer group in Redis. Each change is one script, which checks the log and the owner's epoch.
type redisStore struct {
	client     goredis.UniversalClient
	group      string
	guard      LogGuard
	partitions []Partition // of the topic that delivers the log
	scripts    scripts
	*Reader
	own bool // the store created Reader and closes it
}

var _ store = (*redisStore)(nil)

// LogGuard identifies the log that the partitions belong to. Scripts that change a group's state compare the identity first.
type LogGuard interface {
	// Guard returns the value that the id key of a partition must have.
	Guard(partition int) string
	// Recheck is called when a partition has another value than held. It returns nil if the present value of Guard is worth a try. Otherwise it
	// returns why the partition must not be used: [ports.ErrLogLost], [ports.ErrNewerLog] or [ports.ErrUnavailable].
	Recheck(ctx context.Context, partition int, held string) error
}

// errGuardMoves is returned for a partition that belongs to another log at each try.
var errGuardMoves = fmt.Errorf("%w: the log's identity changes", ports.ErrUnavailable)

func (s *redisStore) close() error {
	if s.own {
		return s.Close()
	}
	return nil
}

// log returns the id that a partition's scripts check, "" for one without a log.
func (s *redisStore) log(l Partition) string {
	if l.logged() {
		return s.guard.Guard(l.Partition)
	}
	return ""
}

// guarded runs a script on a partition. If the partition does not carry the expected log (status -1), it finds out why, and runs the script again if
// only the log's level has changed. It returns the errors of run unchanged.
func (s *redisStore) guarded(ctx context.Context, l Partition, run func(log string) (status int64, err error)) error {
	for range 2 {
		held := s.log(l)
		status, err := run(held)
		if err != nil {
			return err
		}
		if status != -1 {
			return s.verdict(ctx, l, status)
		}
		if err := s.guard.Recheck(ctx, l.Partition, held); err != nil {
			return err
		}
	}
	return errGuardMoves
}

// runGuarded runs one script for each partition as run does. It returns the replies, and an error for each partition as guarded does. A partition
// whose log has only changed its level gets [ports.ErrUnavailable] this once: callers try again.
func (s *redisStore) runGuarded(ctx context.Context, script *goredis.Script, partitions []Partition, build func(i int, log string) call) ([][]any, []error) {
	replies, errs := make([][]any, len(partitions)), make([]error, len(partitions))
	calls, held := make([]call, len(partitions)), make([]string, len(partitions))
	for i, l := range partitions {
		held[i] = s.log(l)
		calls[i] = build(i, held[i])
	}
	for i, reply := range s.run(ctx, script, calls) {
		values, err := reply.Slice()
		if err != nil {
			errs[i] = unavailable(err)
			continue
		}
		replies[i] = values
		if status, _ := values[0].(int64); status != -1 {
			errs[i] = s.verdict(ctx, partitions[i], status)
		} else if errs[i] = s.guard.Recheck(ctx, partitions[i].Partition, held[i]); errs[i] == nil {
			errs[i] = errGuardMoves
		}
	}
	return replies, errs
}

func timely(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, controlTimeout)
}

// unavailable translates the error of a step that [timely] bounds. A timeout of the step is not one of the caller.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", ports.ErrUnavailable, ports.NotEnded(err))
}

// verdict returns the error of a script's negative status.
func (s *redisStore) verdict(ctx context.Context, l Partition, status int64) error {
	switch status {
	case -2:
		return ErrFenced
	case -3:
		return s.missing(ctx, l)
	case -4:
		return errLostCommits
	}
	return nil
}

// missing returns why a group is gone from a partition: it was deleted, or the whole log is lost.
func (s *redisStore) missing(ctx context.Context, l Partition) error {
	if err := s.intact(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q on %s", ErrGroupDeleted, s.group, l.Stream)
}

// intact checks that every partition still carries the log. It ignores those without a log.
func (s *redisStore) intact(ctx context.Context) error {
	ids, held := make(map[Partition]*goredis.StringCmd), make(map[Partition]string)
	_, err := s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, l := range s.partitions {
			if l.logged() {
				held[l], ids[l] = s.log(l), p.Get(ctx, l.group("").id)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return ports.Unavailable(ctx, err)
	}
	for _, l := range s.partitions {
		if l.logged() && ids[l].Val() != held[l] {
			if err := s.guard.Recheck(ctx, l.Partition, held[l]); err != nil {
				return err
			}
		}
	}
	return nil
}

// run runs one script for each partition in one round trip, and again by its text where Redis does not know it.
func (s *redisStore) run(ctx context.Context, script *goredis.Script, calls []call) []*goredis.Cmd {
	replies := make([]*goredis.Cmd, len(calls))
	attempt := func(only func(i int) bool, byText bool) {
		_, _ = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, c := range calls {
				switch {
				case !only(i):
				case byText:
					replies[i] = script.Eval(ctx, p, c.keys, c.args...)
				default:
					replies[i] = script.EvalSha(ctx, p, c.keys, c.args...)
				}
			}
			return nil
		})
	}
	unknown := false
	attempt(func(int) bool { return true }, false)
	for _, reply := range replies {
		unknown = unknown || goredis.HasErrorPrefix(reply.Err(), "NOSCRIPT")
	}
	if unknown {
		attempt(func(i int) bool { return goredis.HasErrorPrefix(replies[i].Err(), "NOSCRIPT") }, true)
	}
	return replies
}

// call is one script's keys and arguments.
type call struct {
	keys []string
	args []any
}

func (s *redisStore) create(ctx context.Context, l Partition, fromBeginning bool) (fresh bool, err error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	k, beginning := l.group(s.group), ""
	if fromBeginning {
		beginning = "1"
	}
	err = s.guarded(ctx, l, func(log string) (int64, error) {
		status, err := s.scripts.create.Run(ctx, s.client, []string{k.id, k.group, k.groups, l.Stream}, log, s.group, beginning).Int64Slice()
		if err != nil {
			return 0, unavailable(err)
		}
		fresh = status[0] == 2
		return status[0], nil
	})
	return fresh, err
}

func (s *redisStore) seedCheckpoints(ctx context.Context, l Partition, heads []ports.ChatHead, last bool) (bool, error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	k, end := l.group(s.group), ""
	if last {
		end = "1"
	}
	args := make([]any, 0, 2+2*len(heads))
	args = append(args, nil, end)
	for _, h := range heads {
		args = append(args, string(h.Chat), uint64(h.Head))
	}
	more := false
	err := s.guarded(ctx, l, func(log string) (int64, error) {
		args[0] = log
		status, err := s.scripts.seedCheckpoints.Run(ctx, s.client, []string{k.id, k.group, k.chats}, args...).Int64()
		if err != nil {
			return 0, unavailable(err)
		}
		more = status == 1 && !last
		return status, nil
	})
	return more, err
}

func (s *redisStore) heartbeat(ctx context.Context, first Partition, instance string, ttl time.Duration, declined []string, coolDown time.Duration) (members, error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	k := first.group(s.group)
	args := []any{instance, ttl.Milliseconds(), coolDown.Milliseconds()}
	for _, stream := range declined {
		args = append(args, stream)
	}
	reply, err := s.scripts.heartbeat.Run(ctx, s.client, []string{k.members, k.group, k.declined}, args...).Slice()
	if err != nil {
		return members{}, unavailable(err)
	}
	now := members{living: texts(reply[0])}
	if len(now.living) == 0 && ttl > 0 { // not even this member
		return members{}, s.missing(ctx, first)
	}
	for _, entry := range texts(reply[1]) {
		member, stream, _ := strings.Cut(entry, " ")
		if now.declined == nil {
			now.declined = make(map[string][]string)
		}
		now.declined[stream] = append(now.declined[stream], member)
	}
	return now, nil
}

// texts reads a list of strings within a script's reply.
func texts(v any) []string {
	list, _ := v.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		text, _ := item.(string)
		all = append(all, text)
	}
	return all
}

func (s *redisStore) acquire(ctx context.Context, partitions []Partition, lost []bool, m memberInfo) ([]*lease, []error) {
	tenures := make([]*lease, len(partitions))
	bounded, cancel := timely(ctx)
	defer cancel()
	replies, errs := s.runGuarded(bounded, s.scripts.acquire, partitions, func(i int, log string) call {
		k := partitions[i].group(s.group)
		return call{
			[]string{k.id, k.group, k.left, k.failing, k.again, partitions[i].Stream, k.dead}, []any{log, m.instance, m.lease.Milliseconds(), lost[i], m.deadLetters},
		}
	})
	for i, values := range replies {
		if errs[i] != nil {
			continue
		}
		if status, _ := values[0].(int64); status <= 0 {
			continue
		}
		if tenures[i], errs[i] = s.readLease(ctx, partitions[i].group(s.group), values); errs[i] != nil {
			tenures[i] = nil
		}
	}
	return tenures, errs
}

// readLease reads the reply of the script. It reads hashes that are too large for the reply in pages. Only the owner adds to these.
func (s *redisStore) readLease(ctx context.Context, k groupKeys, values []any) (*lease, error) {
	text := func(i int) string {
		t, _ := values[i].(string)
		return t
	}
	t := &lease{walk: text(3) != "", revision: text(4), hadOwner: text(5) != "", failing: make(map[string]failure)}
	var errs [6]error
	t.epoch, errs[0] = strconv.ParseUint(text(1), 10, 64)
	t.position, errs[1] = parseStreamID(text(2))
	t.end, errs[2] = parseStreamID(text(6))
	deadLetters, _ := values[7].(int64)
	t.deadLetters = int(deadLetters)
	overlap, _ := values[11].(int64)
	t.overlap = time.Duration(overlap) * time.Millisecond
	hash := func(v any, key string) (map[string]string, error) {
		if _, large := v.(int64); large {
			return hashMap(ctx, s.client, key)
		}
		return pairs(v), nil
	}
	var failing, again map[string]string
	t.lagging, errs[3] = hash(values[8], k.left)
	failing, errs[4] = hash(values[9], k.failing)
	again, errs[5] = hash(values[10], k.again)
	for chat, value := range failing {
		t.failing[chat] = parseFailure(value)
	}
	t.redeliveries = again
	return t, errors.Join(errs[:]...)
}

// pairs reads the pairs of an HGETALL within a script's reply.
func pairs(v any) map[string]string {
	list, _ := v.([]any)
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		key, _ := list[i].(string)
		value, _ := list[i+1].(string)
		m[key] = value
	}
	return m
}

// commit makes the changes in one round trip.
func (s *redisStore) commit(ctx context.Context, partitions []Partition, epochs []uint64, changes []*commit, lease time.Duration) []commitResult {
	answers := make([]commitResult, len(partitions))
	bounded, cancel := timely(ctx)
	defer cancel()
	replies, errs := s.runGuarded(bounded, s.scripts.commit, partitions, func(i int, log string) call {
		k := partitions[i].group(s.group)
		return call{
			[]string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead, partitions[i].Stream, k.unreadable},
			changes[i].args(log, epochs[i], lease),
		}
	})
	for i, values := range replies {
		if answers[i].err = errs[i]; errs[i] != nil {
			continue
		}
		answers[i].revision, _ = values[1].(string)
		if n, counted := values[3].(int64); counted {
			answers[i].deadLetters = int(n)
		}
		if n, counted := values[4].(int64); counted {
			answers[i].written = int(n)
		}
		if first, _ := values[2].(string); first != "" {
			answers[i].lost = true
			answers[i].first, _ = parseStreamID(first) // "-" if the stream is empty
		}
	}
	return answers
}

func (c *commit) args(logID string, epoch uint64, lease time.Duration) []any {
	position := ""
	if !c.position.isZero() {
		position = c.position.String()
	}
	args := make([]any, 0, 16+len(c.chats)+len(c.lagging)+len(c.failing)+len(c.resolved))
	args = append(args, logID, epoch, c.number, lease.Milliseconds(), position, c.passed, c.walk)
	args = append(args, len(c.seen))
	for _, id := range c.seen {
		args = append(args, id.String())
	}
	for _, list := range [...][]any{c.chats, c.lagging, c.failing} {
		args = append(append(args, len(list)/2), list...)
	}
	args = append(append(args, len(c.resolved)), c.resolved...)
	args = append(args, len(c.letters), sharedLetters)
	for _, l := range c.letters {
		fields, mark := l.fields(), ""
		if l.Of != "" {
			mark = l.Mark.String()
		}
		if l.Of != "" && !l.InOrder { // a letter that was dropped meanwhile is not written again
			fields = nil
		}
		args = append(append(args, l.Entry, l.Of, mark, len(fields)), fields...)
	}
	return args
}

func (s *redisStore) release(ctx context.Context, held []released) error {
	calls := make([]call, len(held))
	for i, r := range held {
		calls[i] = call{[]string{r.partition.group(s.group).group}, []any{r.epoch, r.overlap.Milliseconds()}}
	}
	ctx, cancel := timely(ctx)
	defer cancel()
	for _, reply := range s.run(ctx, s.scripts.release, calls) {
		if err := reply.Err(); err != nil {
			return unavailable(err) // the other errors are the same
		}
	}
	return nil
}

func (s *redisStore) checkpoints(ctx context.Context, l Partition, chats []string) ([]domain.Seq, error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	values, err := s.client.HMGet(ctx, l.group(s.group).chats, chats...).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	seqs := make([]domain.Seq, len(chats))
	for i, v := range values {
		text, _ := v.(string)
		n, _ := strconv.ParseUint(text, 10, 64)
		seqs[i] = domain.Seq(n)
	}
	return seqs, nil
}

func (s *redisStore) look(ctx context.Context, l Partition) (walk bool, left, again map[string]string, err error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	k := l.group(s.group)
	walking, err := s.client.HGet(ctx, k.group, "walk").Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return false, nil, nil, unavailable(err)
	}
	if left, err = hashMap(ctx, s.client, k.left); err != nil {
		return false, nil, nil, err
	}
	again, err = hashMap(ctx, s.client, k.again)
	return walking != "", left, again, err
}

func (s *redisStore) trim(ctx context.Context, l Partition, bound int) (taken int64, moved []string, err error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	k := l.group("")
	err = s.guarded(ctx, l, func(log string) (int64, error) {
		values, err := s.scripts.trim.Run(ctx, s.client, []string{k.id, l.Stream, k.groups}, log, k.group, bound).Slice()
		if err != nil {
			return 0, unavailable(err)
		}
		taken, _ = values[0].(int64)
		for _, v := range values[1:] {
			name, _ := v.(string)
			moved = append(moved, name)
		}
		return min(taken, 0), nil
	})
	return taken, moved, err
}

func (s *redisStore) letters(ctx context.Context, l Partition, ids []string) ([]storedLetter, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := timely(ctx)
	defer cancel()
	replies := make([]*goredis.XMessageSliceCmd, len(ids))
	_, err := s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, id := range ids {
			replies[i] = p.XRange(ctx, l.group(s.group).dead, id, id)
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	var found []storedLetter
	for i, reply := range replies {
		for _, m := range reply.Val() {
			found = append(found, storedLetter{readLetter(m.Values), ids[i]})
		}
	}
	return found, nil
}

func (s *redisStore) last(ctx context.Context, l Partition) (streamID, error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	entries, err := s.client.XRevRangeN(ctx, l.Stream, "+", "-", 1).Result()
	switch {
	case err != nil:
		return streamID{}, unavailable(err)
	case len(entries) == 0:
		return streamID{}, nil
	}
	return parseStreamID(entries[0].ID)
}

// trimmed decides as the script of a commit does.
func (s *redisStore) trimmed(ctx context.Context, l Partition, gone streamID) (bool, streamID, error) {
	ctx, cancel := timely(ctx)
	defer cancel()
	var fields *goredis.SliceCmd
	var entries *goredis.XMessageSliceCmd
	_, err := s.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		fields, entries = p.HMGet(ctx, l.group(s.group).group, "position", "walk"), p.XRangeN(ctx, l.Stream, "-", "+", 1)
		return nil
	})
	if err != nil {
		return false, streamID{}, unavailable(err)
	}
	first := streamID{}
	if found := entries.Val(); len(found) > 0 {
		if first, err = parseStreamID(found[0].ID); err != nil {
			return false, streamID{}, err
		}
	}
	state := fields.Val()
	return (state[0] != "0-0" || state[1] != "") && (first.isZero() || first.compare(gone) > 0), first, nil
}
