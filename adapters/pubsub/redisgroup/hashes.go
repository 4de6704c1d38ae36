package redisgroup

import (
	"context"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports/groups"
)

const hashPage = 1000 // fields of one HSCAN

// scanHash calls fn with the fields of a hash, one page at a time, until fn returns false. A field may occur twice.
func (g *Groups) scanHash(ctx context.Context, key string, fn func(fields []string) bool) error {
	for cursor := uint64(0); ; {
		bounded, cancel := g.timely(ctx)
		fields, next, err := g.commands.HScan(bounded, key, cursor, "", hashPage).Result()
		cancel()
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		if !fn(fields) || next == 0 {
			return nil
		}
		cursor = next
	}
}

// hashMap reads a whole hash in pages, so that a large one does not block Redis. It parses the values.
func hashMap[V any](ctx context.Context, g *Groups, key string, parse func(string) V) (map[string]V, error) {
	m := make(map[string]V)
	err := g.scanHash(ctx, key, func(fields []string) bool {
		addPairs(m, fields, parse)
		return true
	})
	return m, err
}

func addPairs[V any](m map[string]V, fields []string, parse func(string) V) {
	for i := 0; i+1 < len(fields); i += 2 {
		m[fields[i]] = parse(fields[i+1])
	}
}

// replyMap parses a hash within a script's reply: as HGETALL returns it, or the number of its fields if it is so large that it is read in pages.
func replyMap[V any](ctx context.Context, g *Groups, reply any, key string, parse func(string) V) (map[string]V, error) {
	if _, large := reply.(int64); large {
		return hashMap(ctx, g, key, parse)
	}
	fields := texts(reply)
	m := make(map[string]V, len(fields)/2)
	addPairs(m, fields, parse)
	return m, nil
}

// texts reads a list of strings within a script's reply.
func texts(v any) []string {
	list, _ := v.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		all = append(all, rediscmd.Text(item))
	}
	return all
}

// The marks of chats that are left to the log.
const (
	markBehind = "behind"
	markParked = "parked"
)

// parseChatState parses a mark. It returns [groups.Behind] for a mark that this program does not know.
func parseChatState(mark string) groups.ChatState {
	if mark == markParked {
		return groups.Parked
	}
	return groups.Behind
}
