package redis

import (
	"context"
	"errors"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// UserView keeps each user's numbers in a hash of their own, with nothing else in it, and their versions in one beside it.
type UserView struct {
	client goredis.UniversalClient
	keys   Keys
	key    func(domain.UserID) string
	script *goredis.Script
}

var _ ports.UserView = (*UserView)(nil)

// NewUnreadCounts keeps how many messages users have not read, where the wire contract says.
func NewUnreadCounts(client goredis.UniversalClient, keys Keys) *UserView {
	return &UserView{client: client, keys: keys, key: keys.unread, script: goredis.NewScript(viewSource)}
}

// NewUserChats keeps which chats users are in.
func NewUserChats(client goredis.UniversalClient, keys Keys) *UserView {
	return &UserView{client: client, keys: keys, key: keys.userChats, script: goredis.NewScript(viewSource)}
}

// Put implements [ports.UserView]: one script a user, because users lie in different slots, all in one pipeline.
func (v *UserView) Put(ctx context.Context, log string, chat domain.ChatID, entries ...ports.UserEntry) error {
	if err := ctx.Err(); err != nil || len(entries) == 0 {
		return err
	}
	again, err := v.put(ctx, v.script.EvalSha, log, chat, entries)
	if len(again) > 0 && err == nil {
		_, err = v.put(ctx, v.script.Eval, log, chat, again)
	}
	return err
}

// put runs the script for each entry, and gives those back for which Redis did not know it by its hash.
func (v *UserView) put(
	ctx context.Context, run func(context.Context, goredis.Scripter, []string, ...any) *goredis.Cmd, log string, chat domain.ChatID, entries []ports.UserEntry,
) (unknown []ports.UserEntry, err error) {
	replies := make([]*goredis.Cmd, len(entries))
	_, _ = v.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, e := range entries {
			number := ""
			if !e.Gone {
				number = strconv.FormatUint(e.Number, 10)
			}
			numbers := v.key(e.User)
			replies[i] = run(ctx, p, []string{numbers, v.keys.versions(numbers)}, log, string(chat), uint64(e.Version), number, e.Rebuild)
		}
		return nil
	})
	for i, reply := range replies {
		switch err := reply.Err(); {
		case err == nil:
		case answered(err) && hasCode(err, "NOSCRIPT"):
			unknown = append(unknown, entries[i])
		case answered(err) && hasCode(err, "WRONGTYPE"):
			return nil, &ports.ForeignValueError{Key: v.key(entries[i].User), Holds: "no hash, or has none beside it", For: "a view by user"}
		default:
			return nil, unavailable(ctx, err)
		}
	}
	return unknown, nil
}

// Of implements [ports.UserView] in one round trip. What is no number is someone else's, and is left out.
func (v *UserView) Of(ctx context.Context, log string, user domain.UserID) (map[domain.ChatID]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var owner *goredis.StringCmd
	var all *goredis.MapStringStringCmd
	_, err := v.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		numbers := v.key(user)
		owner, all = p.HGet(ctx, v.keys.versions(numbers), " "), p.HGetAll(ctx, numbers)
		return nil
	})
	if errors.Is(err, goredis.Nil) {
		err = all.Err()
	}
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	found := make(map[domain.ChatID]uint64, len(all.Val()))
	if owner.Val() != log {
		return found, nil
	}
	for chat, text := range all.Val() {
		if number, err := strconv.ParseUint(text, 10, 64); err == nil {
			found[domain.ChatID(chat)] = number
		}
	}
	return found, nil
}
