package view

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// View stores each user's numbers in a hash that contains nothing else, and their versions in a second hash.
type View struct {
	client  goredis.UniversalClient
	keys    keyspace.Views
	key     func(domain.UserID) string
	whole   bool   // missing numbers cannot be recomputed: a loss is an error
	channel string // on which users are published whose numbers appear, change or vanish; "" for no publication
	script  *goredis.Script
}

var (
	_ ports.UserViewPager   = (*View)(nil)
	_ ports.UserView        = (*View)(nil)
	_ ports.UserViewCounter = (*View)(nil)

	_ ports.UserViewBulkReader = (*View)(nil)
	_ ports.UserViewJoiner     = (*View)(nil)
)

// NewUnreadCounts returns a view of the number of unread messages of each user, under the keys of the wire contract.
func NewUnreadCounts(client goredis.UniversalClient, keys keyspace.Views) *View {
	return &View{client: client, keys: keys, key: keys.Unread, script: goredis.NewScript(viewSource)}
}

// NewUserChats returns a view of the chats of each user. A user that gains or loses a chat is published on the channel [keyspace.Views.Memberships].
func NewUserChats(client goredis.UniversalClient, keys keyspace.Views) *View {
	return &View{client: client, keys: keys, key: keys.UserChats, whole: true, channel: keys.Memberships(), script: goredis.NewScript(viewSource)}
}

// NewUserBlocks returns a view of the direct chats in which each user blocks the other one.
func NewUserBlocks(client goredis.UniversalClient, keys keyspace.Views) *View {
	return &View{client: client, keys: keys, key: keys.UserBlocks, script: goredis.NewScript(viewSource)}
}

// NewUserFavourites returns a view of the chats that are favourites of each user.
func NewUserFavourites(client goredis.UniversalClient, keys keyspace.Views) *View {
	return &View{client: client, keys: keys, key: keys.UserFavourites, script: goredis.NewScript(viewSource)}
}

// NewUserHidden returns a view of the chats that each user has hidden.
func NewUserHidden(client goredis.UniversalClient, keys keyspace.Views) *View {
	return &View{client: client, keys: keys, key: keys.UserHidden, script: goredis.NewScript(viewSource)}
}

// viewEntry is an entry to store, and the key of its numbers.
type viewEntry struct {
	chat domain.ChatID
	ports.UserEntry
	numbers string
}

// viewEntries is the number of entries that one script call stores: about half a millisecond of Redis.
const viewEntries = 200

// Put implements [ports.UserView] in one round trip, with one script call per 200 entries. On a Cluster it needs a call for each user, because users
// are in different slots.
func (v *View) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	calls := v.calls(puts)
	if len(calls) == 0 {
		return nil
	}
	return v.put(ctx, log, calls)
}

// calls divides the entries into script calls.
func (v *View) calls(puts []ports.ChatEntries) [][]viewEntry {
	var calls [][]viewEntry
	place := make(map[domain.UserID]int) // of a user's call, on a Cluster
	for _, p := range puts {
		for _, e := range p.Entries {
			at := len(calls) - 1
			if v.keys.Cluster() {
				known := false
				if at, known = place[e.User]; !known {
					at = -1
				}
			}
			if at < 0 || len(calls[at]) == viewEntries {
				calls = append(calls, nil)
				at = len(calls) - 1
				place[e.User] = at
			}
			calls[at] = append(calls[at], viewEntry{p.Chat, e, v.key(e.User)})
		}
	}
	return calls
}

// put stores the entries of each call.
func (v *View) put(ctx context.Context, log string, calls [][]viewEntry) error {
	scripts := make([]rediscmd.Call, len(calls))
	for i, entries := range calls {
		keys, args := make([]string, 0, 2*len(entries)), make([]any, 1, 2+5*len(entries))
		args[0] = log
		for _, e := range entries {
			number := ""
			if !e.Gone {
				number = strconv.FormatUint(e.Number, 10)
			}
			keys = append(keys, e.numbers, v.keys.Versions(e.numbers))
			args = append(args, string(e.chat), uint64(e.Version), number, e.Rebuild)
		}
		if v.channel != "" {
			args = append(args, v.channel)
			for _, e := range entries {
				args = append(args, string(e.User))
			}
		}
		scripts[i] = rediscmd.Call{Keys: keys, Args: args}
	}
	var foreign error
	for i, reply := range rediscmd.RunEach(ctx, v.client, v.script, scripts, nil) {
		switch err := reply.Err(); {
		case err == nil:
		case rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE"):
			foreign = errors.Join(foreign, v.putEach(ctx, log, calls[i]))
		default:
			return rediscmd.Unavailable(ctx, err)
		}
	}
	return foreign
}

// putEach stores entries one by one after one of them had a key of another type, so that the others are stored.
func (v *View) putEach(ctx context.Context, log string, entries []viewEntry) error {
	if len(entries) == 1 {
		return &ports.ForeignValueError{Key: entries[0].numbers, Holds: "no hash, or its key of versions holds none", For: "a read model of a user"}
	}
	single := make([][]viewEntry, len(entries))
	for i := range entries {
		single[i] = entries[i : i+1]
	}
	return v.put(ctx, log, single)
}

// Of implements [ports.UserView] in one round trip. It skips values that are no numbers: other programs wrote them. If chats are missing from the
// view of a user's chats, it returns a [*ports.CorruptError]. If both keys of a user are lost, that is indistinguishable from a user without chats.
func (v *View) Of(ctx context.Context, log string, user domain.UserID) (map[domain.ChatID]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var r userReplies
	_, err := v.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		r = v.read(ctx, p, user)
		return nil
	})
	if err != nil {
		if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
			return nil, &ports.ForeignValueError{Key: v.key(user), Holds: "no hash, or its key of versions holds none", For: "a read model of a user"}
		}
		return nil, rediscmd.Unavailable(ctx, err)
	}
	return v.found(log, user, r)
}

// OfUsers implements [ports.UserViewBulkReader] in one pipeline. It reads a user again with Of if the two keys of the user disagree: the pipeline does not
// read them as of one moment.
func (v *View) OfUsers(ctx context.Context, log string, users ...domain.UserID) ([]map[domain.ChatID]uint64, error) {
	if err := ctx.Err(); err != nil || len(users) == 0 {
		return nil, err
	}
	reads := make([]userRead, len(users))
	for i, user := range users {
		reads[i] = userRead{v, user}
	}
	return readUsers(ctx, log, reads)
}

// OfWith implements [ports.UserViewJoiner] in one pipeline, with views of the same client.
func (v *View) OfWith(ctx context.Context, log string, user domain.UserID, others ...ports.UserView) ([]map[domain.ChatID]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	reads := []userRead{{v, user}}
	for _, other := range others {
		o, ok := other.(*View)
		if !ok || o.client != v.client {
			return nil, fmt.Errorf("a view of another store: %w", errors.ErrUnsupported)
		}
		reads = append(reads, userRead{o, user})
	}
	return readUsers(ctx, log, reads)
}

// userRead is the read of a user's numbers in a view.
type userRead struct {
	*View
	user domain.UserID
}

// readUsers reads numbers in one pipeline, and again with Of where two keys of a user disagree. There must be at least one read, and all of the same client.
func readUsers(ctx context.Context, log string, reads []userRead) ([]map[domain.ChatID]uint64, error) {
	replies := make([]userReplies, len(reads))
	_, err := reads[0].client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, r := range reads {
			replies[i] = r.read(ctx, p, r.user)
		}
		return nil
	})
	if err != nil && !rediscmd.Answered(err) {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	all := make([]map[domain.ChatID]uint64, len(reads))
	for i, r := range reads {
		reply := replies[i]
		if all[i], err = r.found(log, r.user, reply); err != nil || reply.owner.Err() != nil || reply.numbers.Err() != nil {
			if all[i], err = r.Of(ctx, log, r.user); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// userReplies are the replies to the reads of one user: who the numbers belong to and how many there are, and the numbers.
type userReplies struct {
	owner   *goredis.SliceCmd
	numbers *goredis.MapStringStringCmd
}

// read queues the reads of a user.
func (v *View) read(ctx context.Context, p goredis.Pipeliner, user domain.UserID) userReplies {
	numbers := v.key(user)
	return userReplies{p.HMGet(ctx, v.keys.Versions(numbers), " ", " #"), p.HGetAll(ctx, numbers)}
}

// found returns the numbers in the replies of a user.
func (v *View) found(log string, user domain.UserID, r userReplies) (map[domain.ChatID]uint64, error) {
	if len(r.owner.Val()) == 0 { // no reply: the caller has its error
		return nil, nil
	}
	numbers := r.numbers.Val()
	found := make(map[domain.ChatID]uint64, len(numbers))
	of, known := r.owner.Val()[0].(string)
	if v.whole && !known && len(numbers) > 0 {
		return nil, &ports.CorruptError{Key: v.keys.Versions(v.key(user)), Cause: errors.New("the versions of the user's chats are missing")}
	}
	if !known || of != log {
		return found, nil
	}
	for chat, text := range numbers {
		if number, err := strconv.ParseUint(text, 10, 64); err == nil {
			found[domain.ChatID(chat)] = number
		}
	}
	text, _ := r.owner.Val()[1].(string)
	if count, err := strconv.Atoi(text); v.whole && (err != nil || len(found) < count) {
		return nil, &ports.CorruptError{Key: v.key(user), Cause: fmt.Errorf("it has %d chats, and its versions count %q", len(found), text)}
	}
	return found, nil
}

// Count implements [ports.UserViewCounter] in one pipeline, from the counts in the versions.
func (v *View) Count(ctx context.Context, log string, users ...domain.UserID) ([]int, error) {
	if err := ctx.Err(); err != nil || len(users) == 0 {
		return nil, err
	}
	replies := make([]*goredis.SliceCmd, len(users))
	_, _ = v.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, user := range users {
			replies[i] = p.HMGet(ctx, v.keys.Versions(v.key(user)), " ", " #")
		}
		return nil
	})
	counts := make([]int, len(users))
	for i, reply := range replies {
		if err := reply.Err(); err != nil {
			if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
				return nil, &ports.ForeignValueError{Key: v.keys.Versions(v.key(users[i])), Holds: "no hash", For: "a read model of a user"}
			}
			return nil, rediscmd.Unavailable(ctx, err)
		}
		if of, _ := reply.Val()[0].(string); of != log {
			continue
		}
		count, _ := reply.Val()[1].(string)
		counts[i], _ = strconv.Atoi(count) // 0 if the count is missing
	}
	return counts, nil
}
