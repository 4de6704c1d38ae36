package redis

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.UserViewRepairer = (*UserView)(nil)

// Look implements [ports.UserViewRepairer] in one round trip. For a single user, version and number are read atomically.
func (v *UserView) Look(ctx context.Context, log string, chat domain.ChatID, users ...domain.UserID) ([]ports.UserViewEntry, error) {
	versions, numbers := make([]*goredis.SliceCmd, len(users)), make([]*goredis.StringCmd, len(users))
	together := v.client.Pipelined
	if len(users) == 1 {
		together = v.client.TxPipelined
	}
	_, err := together(ctx, func(p goredis.Pipeliner) error {
		for i, user := range users {
			key := v.key(user)
			versions[i], numbers[i] = p.HMGet(ctx, v.keys.versions(key), " ", string(chat)), p.HGet(ctx, key, string(chat))
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, readError(ctx, "", err)
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
		n, readable := versionOf(version)
		there := readable && !strings.HasSuffix(version, "-")
		e.Version = domain.Seq(n)
		count, err := strconv.ParseUint(number, 10, 64)
		e.Present, e.Number = number != "", count
		e.Broken = there != e.Present || e.Present && err != nil || owner == "" && number+version != ""
	}
	return entries, nil
}

// Replace implements [ports.UserViewRepairer].
func (v *UserView) Replace(ctx context.Context, log string, chat domain.ChatID, was ports.UserViewEntry, is ports.UserEntry) (bool, error) {
	version, number, _ := strings.Cut(was.Exact, " ")
	now := ""
	if !is.Gone {
		now = strconv.FormatUint(is.Number, 10)
	}
	return v.fix(ctx, is.User, log, string(chat), version, number, uint64(is.Version), now)
}

// Recount implements [ports.UserViewRepairer].
func (v *UserView) Recount(ctx context.Context, log string, user domain.UserID) error {
	_, err := v.fix(ctx, user, log, "", "", "", "", "")
	return err
}

func (v *UserView) fix(ctx context.Context, user domain.UserID, args ...any) (bool, error) {
	key := v.key(user)
	n, err := goredis.NewScript(fsckViewSource).Run(ctx, v.client, []string{key, v.keys.versions(key)}, args...).Int()
	if err != nil {
		return false, readError(ctx, "", err)
	}
	return n == 1, nil
}

// Users implements [ports.UserViewRepairer] by scanning the keys of every master.
func (v *UserView) Users(ctx context.Context) iter.Seq2[domain.UserID, error] {
	return func(yield func(domain.UserID, error) bool) {
		nodes, err := masters(ctx, v.client)
		if err != nil {
			yield("", unavailable(ctx, err))
			return
		}
		prefix := v.key("")
		for _, node := range nodes {
			step := func(cursor uint64) ([]string, uint64, error) {
				return node.Scan(ctx, cursor, globbed(prefix)+"*", scanCount).Result()
			}
			for key, err := range scan(ctx, step) {
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

// masters returns the clients of all master servers.
func masters(ctx context.Context, client goredis.UniversalClient) ([]goredis.Cmdable, error) {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok {
		return []goredis.Cmdable{client}, nil
	}
	found := make(chan []goredis.Cmdable, 1)
	found <- nil
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *goredis.Client) error {
		found <- append(<-found, node)
		return nil
	})
	return <-found, err
}

// globbed escapes the special characters of a pattern.
func globbed(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(text)
}
