package view

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.UserViewRepairer = (*View)(nil)

// Look implements [ports.UserViewRepairer] in one round trip. For a single user, version and number are read atomically.
func (v *View) Look(ctx context.Context, log string, chat domain.ChatID, users ...domain.UserID) ([]ports.UserViewEntry, error) {
	versions, numbers := make([]*goredis.SliceCmd, len(users)), make([]*goredis.StringCmd, len(users))
	together := v.client.Pipelined
	if len(users) == 1 {
		together = v.client.TxPipelined
	}
	_, err := together(ctx, func(p goredis.Pipeliner) error {
		for i, user := range users {
			key := v.key(user)
			versions[i], numbers[i] = p.HMGet(ctx, v.keys.Versions(key), " ", string(chat)), p.HGet(ctx, key, string(chat))
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, rediscmd.ReadError(ctx, "", err)
	}
	entries := make([]ports.UserViewEntry, len(users))
	for i := range users {
		owner, _ := versions[i].Val()[0].(string)
		version, _ := versions[i].Val()[1].(string)
		number := numbers[i].Val()
		e := &entries[i]
		e.Exact = version + " " + number
		if owner != log && owner != "" {
			continue
		}
		n, readable := rediscmd.LeadingNumber(version)
		there := readable && !strings.HasSuffix(version, "-")
		e.Version = domain.Seq(n)
		count, err := strconv.ParseUint(number, 10, 64)
		e.Present, e.Number = number != "", count
		e.Broken = there != e.Present || e.Present && err != nil || owner == "" && number+version != ""
	}
	return entries, nil
}

// Replace implements [ports.UserViewRepairer].
func (v *View) Replace(ctx context.Context, log string, chat domain.ChatID, was ports.UserViewEntry, is ports.UserEntry) (bool, error) {
	version, number, _ := strings.Cut(was.Exact, " ")
	now := ""
	if !is.Gone {
		now = strconv.FormatUint(is.Number, 10)
	}
	return v.fix(ctx, is.User, log, string(chat), version, number, uint64(is.Version), now)
}

// Recount implements [ports.UserViewRepairer].
func (v *View) Recount(ctx context.Context, log string, user domain.UserID) error {
	_, err := v.fix(ctx, user, log, "", "", "", "", "")
	return err
}

func (v *View) fix(ctx context.Context, user domain.UserID, args ...any) (bool, error) {
	key := v.key(user)
	if v.channel != "" {
		args = append(args, v.channel, string(user))
	}
	n, err := goredis.NewScript(fsckViewSource).Run(ctx, v.client, []string{key, v.keys.Versions(key)}, args...).Int()
	if err != nil {
		return false, rediscmd.ReadError(ctx, "", err)
	}
	return n == 1, nil
}

// Users implements [ports.UserViewRepairer] by scanning the keys of every master.
func (v *View) Users(ctx context.Context) iter.Seq2[domain.UserID, error] {
	return func(yield func(domain.UserID, error) bool) {
		nodes, err := rediscmd.Masters(ctx, v.client)
		if err != nil {
			yield("", rediscmd.Unavailable(ctx, err))
			return
		}
		prefix := v.key("")
		for _, node := range nodes {
			step := func(cursor uint64) ([]string, uint64, error) {
				return node.Scan(ctx, cursor, rediscmd.EscapePattern(prefix)+"*", rediscmd.ScanCount).Result()
			}
			for key, err := range rediscmd.Scan(ctx, step) {
				if err != nil {
					yield("", err)
					return
				}
				user, err := url.PathUnescape(strings.TrimPrefix(key, prefix))
				if err == nil && v.key(domain.UserID(user)) == key && !yield(domain.UserID(user), nil) {
					return
				}
			}
		}
	}
}
