package redisgroup

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

const (
	leftMost   = 4000 // chats of a hash that one inspection of a partition reads
	headsAsked = 500  // chats of one request for heads
)

// partition returns the state of a group on a partition. It reports whether there is one.
func (g *Groups) partition(ctx context.Context, k *groupPartition) (s groups.PartitionState, found bool, err error) {
	var fields *goredis.MapStringStringCmd
	var failing, letters *goredis.IntCmd
	var now *goredis.TimeCmd
	var stream *goredis.Cmd
	_, err = g.commands.Pipelined(ctx, func(p goredis.Pipeliner) error {
		fields, failing, letters = p.HGetAll(ctx, k.group), p.HLen(ctx, k.failing), p.XLen(ctx, k.dead)
		stream = p.Do(ctx, "xinfo", "stream", k.Stream)
		now = p.Time(ctx)
		return nil
	})
	if fields.Err() != nil || now.Err() != nil || letters.Err() != nil { // the stream may not exist
		return s, false, rediscmd.Unavailable(ctx, err)
	}
	values := fields.Val()
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(values[name], 10, 64)
		return n
	}
	s.Stream, s.Partition = k.Stream, k.Number
	if len(values) == 0 {
		return s, false, nil
	}
	s.Epoch, s.Position, s.CatchesUp = number("epoch"), values["position"], values["walk"] != ""
	s.Passed = number("passed")
	s.Failing, s.Letters = int(failing.Val()), int(letters.Val())
	s.LettersFull = number("bound") > 0 && uint64(letters.Val()) >= number("bound") //nolint:gosec // a count
	if until := time.UnixMilli(int64(number("until"))); until.After(now.Val()) {    //nolint:gosec // a time
		s.Owner, s.Until = values["owner"], until.UTC()
	}
	if s.CatchesUp {
		walked, chats, _ := strings.Cut(values["walk"], ":")
		s.Walked, _ = strconv.Atoi(walked)
		s.Chats, _ = strconv.Atoi(chats)
	}
	if s.Lag, err = g.lag(ctx, k.Stream, s.Position, number("passed"), stream); err == nil && s.Lag > 0 {
		err = g.oldest(ctx, &s, now.Val())
	}
	if err == nil && s.Failing > 0 {
		s.Blocked, s.Longest, err = g.blocked(ctx, k)
	}
	if err == nil {
		err = g.countLeft(ctx, k, &s)
	}
	return s, true, err
}

// oldest fills in the time of the first entry after the position. Without one, nothing is behind.
func (g *Groups) oldest(ctx context.Context, s *groups.PartitionState, now time.Time) error {
	entries, err := g.commands.XRangeN(ctx, s.Stream, "("+s.Position, "+", 1).Result()
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	if len(entries) == 0 { // the entries after the position were deleted
		s.Lag = 0
		return nil
	}
	id, err := firstID(entries)
	s.Oldest = timeOf(id)
	s.Age = max(now.Sub(s.Oldest), 0)
	return err
}

// lag returns the number of entries after a position. It subtracts the passed entries from all entries ever added if Redis counts these, and counts
// the entries otherwise. The result is exact at the ends of the stream. Between them it is too high if entries were removed that no owner had passed.
func (g *Groups) lag(ctx context.Context, stream, position string, passed uint64, reply *goredis.Cmd) (uint64, error) {
	info, err := reply.Result()
	if err != nil {
		return 0, nil //nolint:nilerr // there is no stream, so nothing is behind
	}
	added, length, first, last := uint64(0), uint64(0), "", ""
	take := func(key, value any) {
		n, _ := value.(int64)
		switch key {
		case "last-generated-id":
			last = rediscmd.Text(value)
		case "first-entry":
			if entry, _ := value.([]any); len(entry) > 0 {
				first = rediscmd.Text(entry[0])
			}
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
	switch {
	case position == last:
		return 0, nil
	case position == first:
		return length - 1, nil
	case added >= passed && added > 0:
		return min(added-passed, length), nil
	}
	const page = 1000
	for n := uint64(0); ; {
		entries, err := g.commands.XRangeN(ctx, stream, "("+position, "+", page).Result()
		if err != nil {
			return 0, rediscmd.Unavailable(ctx, err)
		}
		n += uint64(len(entries))
		if len(entries) < page {
			return n, nil
		}
		position = entries[page-1].ID
	}
}

// countLeft fills in the numbers of a partition's parked chats and of its chats that catch up from the log. It adds the unfinished events of the
// latter to the lag. Beyond leftMost chats it counts each as one that catches up with one event.
func (g *Groups) countLeft(ctx context.Context, k *groupPartition, s *groups.PartitionState) error {
	total, err := g.commands.HLen(ctx, k.left).Result()
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	if total == 0 {
		return nil
	}
	left := make(map[string]groups.ChatState)
	if err := g.scanHash(ctx, k.left, func(fields []string) bool {
		addPairs(left, fields, parseChatState)
		return len(left) < leftMost
	}); err != nil {
		return err
	}
	var behind []string
	for chat, state := range left {
		if state == groups.Parked {
			s.Parked++
		} else {
			behind = append(behind, chat)
		}
	}
	others := max(int(total)-len(left), 0)
	s.Behind = len(behind) + others
	s.Lag += uint64(others) //nolint:gosec // a count
	for chats := range slices.Chunk(behind, headsAsked) {
		events, err := g.unfinished(ctx, k, chats)
		if err != nil {
			return err
		}
		s.Lag += events
	}
	return nil
}

// unfinished counts the unfinished events of chats, after their checkpoints.
func (g *Groups) unfinished(ctx context.Context, k *groupPartition, chats []string) (events uint64, err error) {
	if g.backlog == nil || !k.Logged() {
		return 0, nil
	}
	var saved, progress *goredis.SliceCmd
	if _, err := g.commands.Pipelined(ctx, func(p goredis.Pipeliner) error {
		saved, progress = p.HMGet(ctx, k.chats, chats...), p.HMGet(ctx, k.failing, chats...)
		return nil
	}); err != nil {
		return 0, rediscmd.Unavailable(ctx, err)
	}
	asked := make([]ports.EventRange, len(chats))
	for i, chat := range chats {
		asked[i] = ports.EventRange{Chat: domain.ChatID(chat), From: 1} // no events, only the head
	}
	pages, _, err := g.backlog.ReadRaw(ctx, k.Number, "", asked)
	if err != nil {
		return 0, err
	}
	for i, page := range pages {
		checkpoint := parseSeq(rediscmd.Text(saved.Val()[i]))
		events += parseProgress(rediscmd.Text(progress.Val()[i])).Unfinished(checkpoint, page.Head)
	}
	return events, nil
}

// blocked returns the result of [blockedChats] for a partition, of its first leftMost failing chats.
func (g *Groups) blocked(ctx context.Context, k *groupPartition) (n int, longest []groups.BlockedChat, err error) {
	failing := make(map[string]groups.Progress)
	err = g.scanHash(ctx, k.failing, func(fields []string) bool {
		addPairs(failing, fields, parseProgress)
		return len(failing) < leftMost
	})
	n, longest = blockedChats(failing)
	return n, longest, err
}
