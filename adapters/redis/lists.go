package redis

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// scanCursor is the position in a list. A hash or set in a compact encoding is returned whole by every scan, in a stable order: Last is then
// the last element of the previous page. For any other encoding, Rest holds the few elements that the last scan returned beyond the previous page.
type scanCursor struct {
	Partition int      `json:"p,omitempty"`
	Scan      uint64   `json:"s,omitempty"`
	Last      string   `json:"l,omitempty"`
	Rest      []string `json:"r,omitempty"`
	Ended     bool     `json:"e,omitempty"` // the scan has ended, and only Rest remains
}

// maxRest is the number of elements that a scan of a hash table may return beyond the requested count, with a wide margin.
const maxRest = 64

func parseCursor(text string, partitions int) (c scanCursor, err error) {
	if text == "" {
		return c, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Partition < 0 || c.Partition >= partitions || len(c.Rest) > maxRest+ports.MaxPage {
		return c, &domain.InvalidError{Field: "cursor", Problem: fmt.Sprintf("is %.80q", text), Allowed: "the cursor of the page before, or nothing"}
	}
	return c, nil
}

func (c scanCursor) String() string {
	raw, _ := json.Marshal(c) // cannot fail
	return base64.RawURLEncoding.EncodeToString(raw)
}

// page takes elements until it has limit of them or the scan has ended. step makes one scan that reads about count elements. page reports whether the
// scan has ended; otherwise the cursor is the next position.
func (c *scanCursor) page(limit int, step func(scan uint64, count int) ([]string, uint64, error)) (page []string, ended bool, err error) {
	for {
		n := min(limit-len(page), len(c.Rest))
		page, c.Rest = append(page, c.Rest[:n]...), c.Rest[n:]
		if c.Ended && len(c.Rest) == 0 {
			return page, true, nil
		}
		if len(page) == limit {
			return page, false, nil
		}
		names, next, err := step(c.Scan, limit)
		if err != nil {
			return nil, false, err
		}
		if c.Scan == 0 && next == 0 {
			names = names[slices.Index(names, c.Last)+1:]
			if n := limit - len(page); len(names) > n+maxRest { // a hash table returns few more than requested
				c.Last = names[n-1]
				return append(page, names[:n]...), false, nil
			}
		}
		c.Scan, c.Last, c.Rest, c.Ended = next, "", names, next == 0
	}
}

// MemberPage implements [ports.Lister] in two or three round trips. It compares the number of members with the index's count.
func (l *Log) MemberPage(ctx context.Context, chat domain.ChatID, cursor string, limit int) ([]domain.UserID, string, error) {
	c, err := parseCursor(cursor, 1)
	if err != nil {
		return nil, "", err
	}
	if n, err := l.countMembers(ctx, chat); err != nil || n == 0 {
		return nil, "", err
	}
	page, ended, err := c.page(limit, func(scan uint64, count int) ([]string, uint64, error) {
		fields, next, err := l.client.HScan(ctx, l.keys.chat(chat, "u"), scan, "", int64(count)).Result()
		return firstOfPairs(fields), next, readError(ctx, chat, err)
	})
	if err != nil {
		return nil, "", err
	}
	users := make([]domain.UserID, len(page))
	for i, user := range page {
		users[i] = domain.UserID(user)
	}
	return users, nextCursor(c, ended), nil
}

// MembersOfChats implements [ports.BulkReader] in two round trips, and one more for each chat that does not exist or is joined meanwhile. It compares the
// number of members with each index's count.
func (l *Log) MembersOfChats(ctx context.Context, limit int, chats ...domain.ChatID) ([][]domain.UserID, error) {
	if err := ctx.Err(); err != nil || len(chats) == 0 {
		return nil, err
	}
	counts, err := l.countMembersOf(ctx, chats)
	if err != nil {
		return nil, err
	}
	found, replies := make([][]domain.UserID, len(chats)), make([]*goredis.StringSliceCmd, len(chats))
	_, _ = l.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, chat := range chats {
			if counts[i] > 0 && counts[i] <= limit {
				replies[i] = p.HKeys(ctx, l.keys.chat(chat, "u"))
			}
		}
		return nil
	})
	for i, chat := range chats {
		if replies[i] == nil {
			continue
		}
		users, err := replies[i].Result()
		if err != nil {
			return nil, readError(ctx, chat, err)
		}
		if len(users) < counts[i] {
			return nil, &ports.CorruptError{Chat: chat, Key: l.keys.chat(chat, "u"), Cause: fmt.Errorf("it had %d elements and now has %d", counts[i], len(users))}
		}
		for _, user := range users {
			found[i] = append(found[i], domain.UserID(user))
		}
	}
	return found, nil
}

// countMembersOf returns how many users are or were members of each of the chats.
func (l *Log) countMembersOf(ctx context.Context, chats []domain.ChatID) ([]int, error) {
	indexes, lengths := make([]*goredis.SliceCmd, len(chats)), make([]*goredis.IntCmd, len(chats))
	_, _ = l.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, chat := range chats {
			indexes[i], lengths[i] = p.HMGet(ctx, l.keys.chat(chat, "x"), membersField), p.HLen(ctx, l.keys.chat(chat, "u"))
		}
		return nil
	})
	counts := make([]int, len(chats))
	for i, chat := range chats {
		if err := errors.Join(indexes[i].Err(), lengths[i].Err()); err != nil {
			return nil, readError(ctx, chat, err)
		}
		if counts[i] = int(lengths[i].Val()); counted(chat, "", indexes[i].Val()[0], lengths[i].Val()) == nil && counts[i] > 0 {
			continue
		}
		var err error // someone joined between the two, or the chat does not exist, or something is missing
		if counts[i], err = l.countMembers(ctx, chat); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

func nextCursor(c scanCursor, ended bool) string {
	if ended {
		return ""
	}
	return c.String()
}

// firstOfPairs returns the names of scanned fields without their values.
func firstOfPairs(fields []string) []string {
	names := fields[:0]
	for i := 0; i < len(fields); i += 2 {
		names = append(names, fields[i])
	}
	return names
}

// ChatPage implements [ports.Lister] in two or three round trips, and two more for each partition that ends with the page. It compares the number of
// chats of a partition with the partition's count.
func (l *Log) ChatPage(ctx context.Context, cursor string, limit int) ([]domain.ChatID, string, error) {
	c, err := parseCursor(cursor, l.keys.PartitionCount())
	if err != nil {
		return nil, "", err
	}
	var chats []domain.ChatID
	for {
		if _, err := l.countChats(ctx, c.Partition); err != nil {
			return nil, "", err
		}
		page, ended, err := c.page(limit-len(chats), func(scan uint64, count int) ([]string, uint64, error) {
			names, next, err := l.client.SScan(ctx, l.keys.chats(c.Partition), scan, "", int64(count)).Result()
			return names, next, readError(ctx, "", err)
		})
		if err != nil {
			return nil, "", err
		}
		for _, chat := range page {
			chats = append(chats, domain.ChatID(chat))
		}
		if !ended {
			return chats, c.String(), nil
		}
		if c = (scanCursor{Partition: c.Partition + 1}); c.Partition == l.keys.PartitionCount() {
			return chats, "", nil
		}
		if len(chats) == limit {
			return chats, c.String(), nil
		}
	}
}

// Page implements [ports.UserViewPager] in two or three round trips. If the view of a user's chats is incomplete, it returns an error like Of.
func (v *UserView) Page(ctx context.Context, log string, user domain.UserID, cursor string, limit int) ([]domain.ChatID, string, error) {
	c, err := parseCursor(cursor, 1)
	if err != nil {
		return nil, "", err
	}
	numbers := v.key(user)
	if known, err := v.complete(ctx, log, user); err != nil || !known {
		return nil, "", err
	}
	page, ended, err := c.page(limit, func(scan uint64, count int) ([]string, uint64, error) {
		pairs, next, err := v.client.HScan(ctx, numbers, scan, "", int64(count)).Result()
		chats := pairs[:0]
		for i := 0; i+1 < len(pairs); i += 2 {
			if _, err := strconv.ParseUint(pairs[i+1], 10, 64); err == nil {
				chats = append(chats, pairs[i])
			}
		}
		return chats, next, unavailable(ctx, err)
	})
	if err != nil {
		return nil, "", err
	}
	chats := make([]domain.ChatID, len(page))
	for i, chat := range page {
		chats[i] = domain.ChatID(chat)
	}
	return chats, nextCursor(c, ended), nil
}

// complete reports whether the log has stored numbers of a user. It returns a [*ports.CorruptError] if the view must be whole and numbers are
// missing.
func (v *UserView) complete(ctx context.Context, log string, user domain.UserID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	numbers := v.key(user)
	var owner *goredis.SliceCmd
	var length *goredis.IntCmd
	_, err := v.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		owner, length = p.HMGet(ctx, v.keys.versions(numbers), " ", " #"), p.HLen(ctx, numbers)
		return nil
	})
	if err != nil {
		if answered(err) && hasCode(err, "WRONGTYPE") {
			return false, &ports.ForeignValueError{Key: numbers, Holds: "no hash, or its key of versions holds none", For: "a read model of a user"}
		}
		return false, unavailable(ctx, err)
	}
	of, known := owner.Val()[0].(string)
	if v.whole && !known && length.Val() > 0 {
		return false, &ports.CorruptError{Key: v.keys.versions(numbers), Cause: errors.New("the versions of the user's chats are missing")}
	}
	if !known || of != log {
		return false, nil
	}
	text, _ := owner.Val()[1].(string)
	if count, err := strconv.ParseInt(text, 10, 64); v.whole && (err != nil || length.Val() < count) {
		return false, &ports.CorruptError{Key: numbers, Cause: fmt.Errorf("it has %d chats, and its versions count %q", length.Val(), text)}
	}
	return true, nil
}
