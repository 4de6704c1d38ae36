package pubsub

import (
	"context"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	hashPage   = 1000 // fields of one HSCAN
	leftMost   = 4000 // chats left to the log that one inspection of a partition distinguishes
	headsAsked = 500  // chats of one request for heads
)

// scanHash calls fn with the fields of a hash, one page at a time, until fn returns false. A field may occur twice.
func scanHash(ctx context.Context, client goredis.Cmdable, key string, fn func(fields []string) bool) error {
	for cursor := uint64(0); ; {
		bounded, cancel := timely(ctx)
		fields, next, err := client.HScan(bounded, key, cursor, "", hashPage).Result()
		cancel()
		if err != nil {
			return ports.Unavailable(ctx, err)
		}
		if !fn(fields) || next == 0 {
			return nil
		}
		cursor = next
	}
}

// hashMap reads a whole hash in pages, so that a large one does not block Redis.
func hashMap(ctx context.Context, client goredis.Cmdable, key string) (map[string]string, error) {
	m := make(map[string]string)
	err := scanHash(ctx, client, key, func(fields []string) bool {
		for i := 0; i+1 < len(fields); i += 2 {
			m[fields[i]] = fields[i+1]
		}
		return true
	})
	return m, err
}

// countLeft fills in the numbers of a partition's parked chats and of its chats that catch up from the log. It adds the unfinished events of the
// latter to the lag. Beyond leftMost chats it counts each as one that catches up with one event.
func (g *Groups) countLeft(ctx context.Context, l Partition, group string, s *PartitionState) error {
	k := l.group(group)
	total, err := g.client.HLen(ctx, k.left).Result()
	if err != nil {
		return ports.Unavailable(ctx, err)
	}
	if total == 0 {
		return nil
	}
	left := make(map[string]string)
	err = scanHash(ctx, g.client, k.left, func(fields []string) bool {
		for i := 0; i+1 < len(fields); i += 2 {
			left[fields[i]] = fields[i+1]
		}
		return len(left) < leftMost
	})
	if err != nil {
		return err
	}
	var behind []string
	for chat, as := range left {
		if as == leftParked {
			s.Parked++
		} else {
			behind = append(behind, chat)
		}
	}
	others := max(int(total)-len(left), 0)
	s.Behind = len(behind) + others
	s.Lag += uint64(others) //nolint:gosec // a count
	for len(behind) > 0 {
		n := min(len(behind), headsAsked)
		events, err := g.unfinished(ctx, l, k, behind[:n])
		if err != nil {
			return err
		}
		s.Lag += events
		behind = behind[n:]
	}
	return nil
}

// unfinished counts the events of chats after their checkpoints.
func (g *Groups) unfinished(ctx context.Context, l Partition, k groupKeys, chats []string) (events uint64, err error) {
	if g.backlog == nil || !l.logged() {
		return 0, nil
	}
	saved, err := g.client.HMGet(ctx, k.chats, chats...).Result()
	if err != nil {
		return 0, ports.Unavailable(ctx, err)
	}
	asked := make([]ports.EventRange, len(chats))
	for i, chat := range chats {
		asked[i] = ports.EventRange{Chat: domain.ChatID(chat), From: 1} // no events, only the head
	}
	pages, _, err := g.backlog.ReadRaw(ctx, l.Partition, "", asked)
	if err != nil {
		return 0, err
	}
	for i, page := range pages {
		text, _ := saved[i].(string)
		checkpoint, _ := strconv.ParseUint(text, 10, 64)
		if head := uint64(page.Head); head > checkpoint {
			events += head - checkpoint
		}
	}
	return events, nil
}

// blocked returns the result of [blockedChats] for a partition, of its first leftMost failing chats.
func (g *Groups) blocked(ctx context.Context, k groupKeys) (n int, longest []BlockedChat, err error) {
	failing := make(map[string]failure)
	err = scanHash(ctx, g.client, k.failing, func(fields []string) bool {
		for i := 0; i+1 < len(fields); i += 2 {
			failing[fields[i]] = parseFailure(fields[i+1])
		}
		return len(failing) < leftMost
	})
	n, longest = blockedChats(failing)
	return n, longest, err
}
