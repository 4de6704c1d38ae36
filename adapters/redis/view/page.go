package view

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Page implements [ports.UserViewPager] in two or three round trips. If the view of a user's chats is incomplete, it returns an error like Of.
func (v *View) Page(ctx context.Context, log string, user domain.UserID, cursor string, limit int) ([]domain.ChatID, string, error) {
	c, err := rediscmd.ParseCursor(cursor, 1)
	if err != nil {
		return nil, "", err
	}
	numbers := v.key(user)
	if known, err := v.complete(ctx, log, user); err != nil || !known {
		return nil, "", err
	}
	page, ended, err := c.Page(limit, func(scan uint64, count int) ([]string, uint64, error) {
		pairs, next, err := v.client.HScan(ctx, numbers, scan, "", int64(count)).Result()
		chats := pairs[:0]
		for i := 0; i+1 < len(pairs); i += 2 {
			if _, err := strconv.ParseUint(pairs[i+1], 10, 64); err == nil {
				chats = append(chats, pairs[i])
			}
		}
		return chats, next, rediscmd.Unavailable(ctx, err)
	})
	if err != nil {
		return nil, "", err
	}
	chats := make([]domain.ChatID, len(page))
	for i, chat := range page {
		chats[i] = domain.ChatID(chat)
	}
	return chats, rediscmd.NextCursor(c, ended), nil
}

// complete reports whether the log has stored numbers of a user. It returns a [*ports.CorruptError] if the view must be whole and numbers are
// missing.
func (v *View) complete(ctx context.Context, log string, user domain.UserID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	numbers := v.key(user)
	var owner *goredis.SliceCmd
	var length *goredis.IntCmd
	_, err := v.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		owner, length = p.HMGet(ctx, v.keys.Versions(numbers), " ", " #"), p.HLen(ctx, numbers)
		return nil
	})
	if err != nil {
		if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
			return false, &ports.ForeignValueError{Key: numbers, Holds: "no hash, or its key of versions holds none", For: "a read model of a user"}
		}
		return false, rediscmd.Unavailable(ctx, err)
	}
	of, known := owner.Val()[0].(string)
	if v.whole && !known && length.Val() > 0 {
		return false, &ports.CorruptError{Key: v.keys.Versions(numbers), Cause: errors.New("the versions of the user's chats are missing")}
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
