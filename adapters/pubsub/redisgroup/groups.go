package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// Groups inspects and changes consumer groups and their dead letters, no matter which processes run them. The owner of a partition notices a change
// with its next commit, within a third of its lease.
type Groups struct {
	client     goredis.UniversalClient
	partitions []Partition
	guard      LogGuard
	backlog    ports.Backlog
	scripts    scripts
}

// NewGroups returns the groups of partitions. It does not close client. guard identifies the log that the partitions carry and backlog reads it. Both
// may be nil if no partition carries a log.
func NewGroups(client goredis.UniversalClient, partitions []Partition, guard LogGuard, backlog ports.Backlog) *Groups {
	return &Groups{client: client, partitions: partitions, guard: guard, backlog: backlog, scripts: newScripts()}
}

func (g *Groups) store(group string) *redisStore {
	return &redisStore{client: g.client, group: group, guard: g.guard, partitions: g.partitions, scripts: g.scripts}
}

// PartitionState is the state of a group on one partition.
type PartitionState struct {
	Stream    string
	Partition int           // below 0: only entries of other programs
	Owner     string        // member that owns the partition; "" if none does
	Until     time.Time     // when its lease ends unless it is renewed
	Epoch     uint64        // of the last owner
	Position  string        // stream id up to which every event is finished or waits in the log
	Lag       uint64        // entries of the stream after the position, and unfinished events of chats that catch up from the log
	Oldest    time.Time     // append of the oldest of them; zero if there is none
	Age       time.Duration // since then, by Redis's clock
	Behind    int           // chats that catch up from the log
	Parked    int           // chats that wait for a decision about a dead letter
	Failing   int           // chats whose next event has failed, or waits
	Blocked   int           // chats that make no progress although none of their events became a dead letter
	Longest   []BlockedChat // the [MaxBlockedChats] of them that are blocked for the longest
	Letters   int           // dead letters
	Walked    int           // chats checked so far while all chats are checked
	Chats     int           // chats to check; 0 unless all chats are checked
	CatchesUp bool          // all chats are checked for undelivered events

	LettersFull bool // the dead letter bound of the last owner is reached: a delivery that would become one is retried, and its chat waits
}

// GroupState is the state of a group.
type GroupState struct {
	Group      string
	Members    int // processes that run it: their heartbeats have not expired
	Partitions []PartitionState
}

// List returns the state of every group, sorted by name.
func (g *Groups) List(ctx context.Context) ([]GroupState, error) {
	states := make(map[string]*GroupState)
	for _, l := range g.partitions {
		names, err := g.client.SMembers(ctx, l.group("").groups).Result()
		if err != nil {
			return nil, ports.Unavailable(ctx, err)
		}
		for _, name := range names {
			state, err := g.partition(ctx, l, name)
			if err != nil {
				return nil, err
			}
			if states[name] == nil {
				states[name] = &GroupState{Group: name}
			}
			states[name].Partitions = append(states[name].Partitions, state)
		}
	}
	if err := g.store("").intact(ctx); err != nil { // checked last: without the whole log, the states read before may be incomplete
		return nil, err
	}
	list := make([]GroupState, 0, len(states))
	for _, s := range states {
		var err error
		if s.Members, err = g.members(ctx, s.Group); err != nil {
			return nil, err
		}
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b GroupState) int { return cmp.Compare(a.Group, b.Group) })
	return list, nil
}

// Owned returns the state of a subscriber's group on the partitions that the subscriber owns now.
func (g *Groups) Owned(ctx context.Context, s *Subscriber) (GroupState, error) {
	state := GroupState{Group: s.config.Group}
	for _, l := range s.owned() {
		partition, err := g.partition(ctx, l, s.config.Group)
		if err != nil {
			return GroupState{}, err
		}
		state.Partitions = append(state.Partitions, partition)
	}
	return state, nil
}

// members counts the members of a group whose heartbeats have not expired by Redis's clock.
func (g *Groups) members(ctx context.Context, group string) (n int, err error) {
	var beats *goredis.ZSliceCmd
	var now *goredis.TimeCmd
	_, err = g.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		beats, now = p.ZRangeWithScores(ctx, g.partitions[0].group(group).members, 0, -1), p.Time(ctx)
		return nil
	})
	if err != nil {
		return 0, unavailable(err)
	}
	for _, beat := range beats.Val() {
		if int64(beat.Score) > now.Val().UnixMilli() {
			n++
		}
	}
	return n, nil
}

func (g *Groups) partition(ctx context.Context, l Partition, group string) (PartitionState, error) {
	k := l.group(group)
	var fields *goredis.MapStringStringCmd
	var failing, letters *goredis.IntCmd
	var now *goredis.TimeCmd
	var stream *goredis.Cmd
	_, err := g.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		fields, failing, letters = p.HGetAll(ctx, k.group), p.HLen(ctx, k.failing), p.XLen(ctx, k.dead)
		stream = p.Do(ctx, "xinfo", "stream", l.Stream)
		now = p.Time(ctx)
		return nil
	})
	if fields.Err() != nil || now.Err() != nil || letters.Err() != nil { // the stream may not exist
		return PartitionState{}, ports.Unavailable(ctx, err)
	}
	values := fields.Val()
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(values[name], 10, 64)
		return n
	}
	s := PartitionState{
		Stream: l.Stream, Partition: l.Partition, Epoch: number("epoch"), Position: values["position"],
		Failing: int(failing.Val()), Letters: int(letters.Val()), CatchesUp: values["walk"] != "",
	}
	s.LettersFull = number("bound") > 0 && uint64(letters.Val()) >= number("bound") //nolint:gosec // a count
	if until := time.UnixMilli(int64(number("until"))); until.After(now.Val()) {    //nolint:gosec // a time
		s.Owner, s.Until = values["owner"], until.UTC()
	}
	if s.CatchesUp {
		walked, chats, _ := strings.Cut(values["walk"], ":")
		s.Walked, _ = strconv.Atoi(walked)
		s.Chats, _ = strconv.Atoi(chats)
	}
	if s.Lag, err = g.lag(ctx, l, s.Position, number("passed"), stream); err != nil {
		return s, err
	}
	if s.Lag > 0 {
		oldest, err := g.client.XRangeN(ctx, l.Stream, "("+s.Position, "+", 1).Result()
		if err != nil {
			return s, ports.Unavailable(ctx, err)
		}
		if len(oldest) == 0 { // the entries after the position were deleted
			s.Lag = 0
		} else {
			id, _ := parseStreamID(oldest[0].ID)
			s.Oldest = time.UnixMilli(int64(id.ms)).UTC() //nolint:gosec // a time
			s.Age = max(now.Val().Sub(s.Oldest), 0)
		}
	}
	if s.Failing > 0 {
		if s.Blocked, s.Longest, err = g.blocked(ctx, k); err != nil {
			return s, err
		}
	}
	err = g.countLeft(ctx, l, group, &s)
	return s, err
}

// lag returns the number of entries after a position. It subtracts the passed entries from all entries ever added if Redis counts these, and counts
// the entries otherwise. Before the end of the stream, the result is too high if entries were removed that no owner had passed.
func (g *Groups) lag(ctx context.Context, l Partition, position string, passed uint64, stream *goredis.Cmd) (uint64, error) {
	info, err := stream.Result()
	if err != nil {
		return 0, nil //nolint:nilerr // there is no stream, so nothing is behind
	}
	added, length, last := uint64(0), uint64(0), ""
	take := func(key, value any) {
		n, _ := value.(int64)
		switch key {
		case "last-generated-id":
			last, _ = value.(string)
		case "entries-added":
			added = uint64(n) //nolint:gosec // a count
		case "length":
			length = uint64(n) //nolint:gosec // a count
		}
	}
	switch info := info.(type) {
	case map[any]any:
		for key, value := range info {
			take(key, value)
		}
	case []any:
		for i := 0; i+1 < len(info); i += 2 {
			take(info[i], info[i+1])
		}
	}
	if position == last {
		return 0, nil
	}
	if added >= passed && added > 0 {
		return min(added-passed, length), nil
	}
	const page = 1000
	for n := uint64(0); ; {
		entries, err := g.client.XRangeN(ctx, l.Stream, "("+position, "+", page).Result()
		if err != nil {
			return 0, ports.Unavailable(ctx, err)
		}
		n += uint64(len(entries))
		if len(entries) < page {
			return n, nil
		}
		position = entries[page-1].ID
	}
}

// ErrGroupNotFound is returned for a consumer group that does not exist.
var ErrGroupNotFound = errors.New("no such consumer group")

// ErrDeadLetterNotFound is returned for a dead letter that does not exist.
var ErrDeadLetterNotFound = errors.New("no such dead letter")

func (g *Groups) exists(ctx context.Context, group string) error {
	for _, l := range g.partitions {
		n, err := g.client.Exists(ctx, l.group(group).group).Result()
		if err != nil {
			return ports.Unavailable(ctx, err)
		}
		if n > 0 {
			return nil
		}
	}
	return g.absent(ctx, group)
}

// absent returns the error about a group that does not exist, or about the log if that is lost.
func (g *Groups) absent(ctx context.Context, group string) error {
	if err := g.store(group).intact(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q", ErrGroupNotFound, group)
}

// Delete removes a group with its dead letters. Events that it has not finished are never delivered to it. Its members end with
// [ErrGroupDeleted]. The next Subscribe under its name creates a new group.
func (g *Groups) Delete(ctx context.Context, group string) error {
	if err := g.exists(ctx, group); err != nil {
		return err
	}
	for _, l := range g.partitions {
		k := l.group(group)
		if _, err := g.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.Unlink(ctx, k.group, k.chats, k.left, k.failing, k.dead, k.again, k.members, k.declined)
			p.SRem(ctx, k.groups, group)
			return nil
		}); err != nil {
			return ports.Unavailable(ctx, err)
		}
	}
	return nil
}

// Rebuild restarts a group with the first event of every chat and deletes its dead letters. Entries of other programs are not redelivered: they are
// in no log.
func (g *Groups) Rebuild(ctx context.Context, group string) error {
	if err := g.exists(ctx, group); err != nil {
		return err
	}
	s := g.store(group)
	for _, l := range g.partitions {
		if !l.logged() {
			continue
		}
		k := l.group(group)
		if err := s.guarded(ctx, l, func(log string) (int64, error) {
			status, err := s.scripts.rebuild.Run(ctx, g.client, []string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead}, log).Int64()
			return status, ports.Unavailable(ctx, err)
		}); err != nil {
			return err
		}
	}
	return nil
}

// DeadLetters yields a group's dead letters, partition by partition, each in the order in which they were added. Iteration stops at the first error.
func (g *Groups) DeadLetters(ctx context.Context, group string) iter.Seq2[DeadLetter, error] {
	return g.DeadLettersAfter(ctx, group, "")
}

// DeadLettersAfter yields the dead letters that DeadLetters yields after the one of an id, which need not exist any more; "" yields all. It reads none of
// those before. It yields [domain.ErrInvalid] if the id has not the form of one.
func (g *Groups) DeadLettersAfter(ctx context.Context, group, id string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		first, from := 0, "-"
		if id != "" {
			partition, entry, err := g.place(id)
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			first, from = partition, "("+entry
		}
		if err := g.exists(ctx, group); err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for partition := first; partition < len(g.partitions); partition++ {
			if !g.partitionLetters(ctx, group, partition, from, yield) {
				return
			}
			from = "-"
		}
	}
}

// partitionLetters yields the dead letters of one partition, beginning with an entry. It reports whether the caller wants more.
func (g *Groups) partitionLetters(ctx context.Context, group string, partition int, from string, yield func(DeadLetter, error) bool) bool {
	const page = 100
	k := g.partitions[partition].group(group)
	for {
		found, err := g.client.XRangeN(ctx, k.dead, from, "+", page).Result()
		var marks []any
		if err == nil && len(found) > 0 {
			marks, err = g.client.HMGet(ctx, k.again, entryIDs(found)...).Result()
		}
		if err != nil {
			yield(DeadLetter{}, ports.Unavailable(ctx, err))
			return false
		}
		for i, m := range found {
			mark, _ := marks[i].(string)
			if !yield(openLetter(group, partition, m, mark), nil) {
				return false
			}
		}
		if len(found) < page {
			return true
		}
		from = "(" + found[page-1].ID
	}
}

func entryIDs(entries []goredis.XMessage) []string {
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = entry.ID
	}
	return ids
}

func openLetter(group string, partition int, m goredis.XMessage, mark string) DeadLetter {
	id, _ := parseStreamID(m.ID)
	d := readLetter(m.Values).opened(group, strconv.Itoa(partition)+"/"+m.ID, time.UnixMilli(int64(id.ms)).UTC()) //nolint:gosec // a time
	if mark != "" {
		parseRetryMark(mark).apply(&d)
	}
	return d
}

// place returns the index of the partition and the entry that a dead letter's id names.
func (g *Groups) place(id string) (partition int, entry string, err error) {
	first, entry, ok := strings.Cut(id, "/")
	partition, numberErr := strconv.Atoi(first)
	_, entryErr := parseStreamID(entry)
	if !ok || numberErr != nil || entryErr != nil || partition < 0 || partition >= len(g.partitions) {
		return 0, "", &domain.InvalidError{Field: "letter", Problem: fmt.Sprintf("is %q", id), Allowed: "an id as the list of dead letters gives it, such as 3/1764057600000-0"}
	}
	return partition, entry, nil
}

// DeadLetter returns one dead letter. It returns [ErrDeadLetterNotFound] if the group has none with that id.
func (g *Groups) DeadLetter(ctx context.Context, group, id string) (DeadLetter, error) {
	partition, entry, err := g.place(id)
	if err != nil {
		return DeadLetter{}, err
	}
	k := g.partitions[partition].group(group)
	found, err := g.client.XRange(ctx, k.dead, entry, entry).Result()
	if err != nil {
		return DeadLetter{}, ports.Unavailable(ctx, err)
	}
	if len(found) == 0 {
		if err := g.exists(ctx, group); err != nil {
			return DeadLetter{}, err
		}
		return DeadLetter{}, noLetter(group, id)
	}
	mark, err := g.client.HGet(ctx, k.again, entry).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return DeadLetter{}, ports.Unavailable(ctx, err)
	}
	return openLetter(group, partition, found[0], mark), nil
}

// Retry redelivers a dead letter. If its chat is parked, the chat resumes in order, beginning with it. Otherwise the delivery is out of order. It
// remains a dead letter until a handler succeeds, under the same id and with the attempts of both. An unreadable entry of another program
// ([DeadLetter.Entry]) is added to the stream again, for all groups. Retry returns [domain.ErrInvalid] if not all of such an entry was kept.
func (g *Groups) Retry(ctx context.Context, group, id string) error {
	return g.decide(ctx, group, id, "retry")
}

// Drop removes a dead letter. A chat that is parked for it resumes with the event after it.
func (g *Groups) Drop(ctx context.Context, group, id string) error {
	return g.decide(ctx, group, id, "drop")
}

func (g *Groups) decide(ctx context.Context, group, id, decision string) error {
	partition, entry, err := g.place(id)
	if err != nil {
		return err
	}
	s, l := g.store(group), g.partitions[partition]
	k := l.group(group)
	var status int64
	err = s.guarded(ctx, l, func(log string) (_ int64, err error) {
		status, err = s.scripts.resolve.Run(ctx, g.client, []string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead, l.Stream}, log, entry, decision).Int64()
		return min(status, 0), ports.Unavailable(ctx, err)
	})
	switch {
	case err == nil && status == 0:
		return noLetter(group, id)
	case err != nil && status == -3:
		return g.absent(ctx, group)
	case err == nil && status == -5:
		return &domain.InvalidError{Field: "letter", Problem: fmt.Sprintf("%s has no whole entry: it was too large to be kept, or had no field that is known", id), Allowed: "to drop it"}
	}
	return err
}
