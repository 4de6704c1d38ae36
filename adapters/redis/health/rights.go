package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// right is a command that the core sends, with valid arguments: K is a key, C a channel.
type right struct {
	command string // in the form of ACL rules
	args    string
}

// required lists the commands of all scripts and of the Go code, on the server of the log.
//
//nolint:gochecknoglobals // never changes
var required = []right{
	// Connections, transactions and scripts.
	{"ping", ""},
	{"multi", ""},
	{"exec", ""},
	{"discard", ""},
	{"eval", "x 1 K"},
	{"evalsha", "x 1 K"},
	{"info", "replication"},
	{"time", ""},
	{"scan", "0"},
	{"wait", "0 0"},
	// Any key.
	{"del", "K"},
	{"exists", "K"},
	{"expire", "K 1"},
	{"persist", "K"},
	{"pexpire", "K 1"},
	{"pttl", "K"},
	{"rename", "K K"},
	{"type", "K"},
	{"unlink", "K"},
	// Strings.
	{"append", "K v"},
	{"decr", "K"},
	{"decrby", "K 1"},
	{"get", "K"},
	{"getdel", "K"},
	{"getrange", "K 0 0"},
	{"incr", "K"},
	{"incrby", "K 1"},
	{"mget", "K"},
	{"set", "K v"},
	{"setnx", "K v"},
	{"strlen", "K"},
	// Hashes.
	{"hdel", "K f"},
	{"hexists", "K f"},
	{"hget", "K f"},
	{"hgetall", "K"},
	{"hincrby", "K f 1"},
	{"hkeys", "K"},
	{"hlen", "K"},
	{"hmget", "K f"},
	{"hscan", "K 0"},
	{"hset", "K f v"},
	{"hsetnx", "K f v"},
	{"hstrlen", "K f"},
	// Lists.
	{"lindex", "K 0"},
	{"llen", "K"},
	{"lpush", "K v"},
	{"lrange", "K 0 0"},
	{"lset", "K 0 v"},
	{"ltrim", "K 0 0"},
	{"rpush", "K v"},
	// Sets.
	{"sadd", "K v"},
	{"scard", "K"},
	{"sismember", "K v"},
	{"smembers", "K"},
	{"smismember", "K v"},
	{"srem", "K v"},
	{"sscan", "K 0"},
	// Sorted sets.
	{"zadd", "K 1 v"},
	{"zcard", "K"},
	{"zcount", "K 0 0"},
	{"zincrby", "K 1 v"},
	{"zrange", "K 0 0"},
	{"zrangebyscore", "K 0 0"},
	{"zrem", "K v"},
	{"zremrangebyscore", "K 0 0"},
	{"zrevrangebyscore", "K 0 0"},
	{"zscan", "K 0"},
	{"zscore", "K v"},
	// Streams.
	{"xadd", "K * f v"},
	{"xdel", "K 0-1"},
	{"xinfo|groups", "K"},
	{"xinfo|stream", "K"},
	{"xlen", "K"},
	{"xpending", "K g"},
	{"xrange", "K - +"},
	{"xread", "COUNT 1 STREAMS K 0"},
	{"xrevrange", "K + -"},
	{"xsetid", "K 1-1"},
	{"xtrim", "K MAXLEN 1"},
	// Channels.
	{"publish", "C v"},
	{"pubsub|numsub", "C"},
	{"subscribe", "C"},
	{"unsubscribe", "C"},
}

// requiredOnCluster lists further commands on the nodes of a Cluster.
//
//nolint:gochecknoglobals // never changes
var requiredOnCluster = []right{{"asking", ""}, {"cluster|slots", ""}, {"command", ""}}

// requiredOfSharded lists the commands of the channels of partitions, which are sharded on a Cluster.
//
//nolint:gochecknoglobals // never changes
var requiredOfSharded = []right{{"pubsub|shardnumsub", "C"}, {"spublish", "C v"}, {"ssubscribe", "C"}, {"sunsubscribe", "C"}}

// requiredOfCaches lists the commands on a server that has only caches.
//
//nolint:gochecknoglobals // never changes
var requiredOfCaches = []string{"ping", "multi", "exec", "discard", "eval", "evalsha", "info", "del", "get", "mget", "set", "type"}

// doctors lists commands that only `core doctor` and Inspect send. The findings name those that are refused.
//
//nolint:gochecknoglobals // never changes
var doctors = []string{"config|get", "slowlog|get", "slowlog|len"}

// Rights are the rights that a Redis user needs: commands, and patterns of keys and channels.
type Rights struct {
	commands []right
	database bool     // SELECT is needed
	keys     []string // for each pattern a key that is never written
	channels []string // that the core publishes and subscribes to

	keyPatterns, channelPatterns []string
}

// LogRights returns the rights that the core needs on the log's server.
func LogRights(k keyspace.Keys) Rights {
	log := k.Log()
	r := Rights{commands: required, keyPatterns: keyPatterns(k), channelPatterns: []string{k.Prefix() + "*"}}
	if k.Cluster() {
		r.commands = slices.Concat(required, requiredOnCluster, requiredOfSharded)
	}
	for _, typ := range wireformat.LiveTypes() {
		r.channels = append(r.channels, k.Channel(typ))
	}
	if k.Prefix() == "" {
		r.channelPatterns = append(slices.Clone(r.channels), keyspace.OwnPrefix+"*")
	}
	r.channels = append(r.channels, k.Views().Memberships(), k.Relays().Channel(scratch))
	for p := range k.PartitionCount() {
		r.keys = append(r.keys, log.ID(p), log.Stream(p), log.Chats(p), log.Key(p, scratch))
		r.channels = append(r.channels, log.Live(p))
	}
	r.keys = append(r.keys, log.Record(), k.Definitions().Key())
	for _, name := range k.Names().All() {
		r.keys = append(r.keys, k.Prefix()+name+scratch)
	}
	return r
}

// CacheRights returns the rights that the core needs on a server that has only caches.
func CacheRights(k keyspace.Keys, cluster bool) Rights {
	var r Rights
	names, prefix := k.Names(), k.Prefix()
	for _, name := range []string{names.Message, names.ChatList, names.ContactList} {
		r.keys = append(r.keys, prefix+name+scratch, prefix+keyspace.OwnPrefix+"{"+prefix+name+scratch+"}:l")
		r.keyPatterns = append(r.keyPatterns, prefix+name+"*")
	}
	r.keyPatterns = append(r.keyPatterns, prefix+keyspace.OwnPrefix+"{*")
	if prefix != "" {
		r.keyPatterns = []string{prefix + "*"}
	}
	for _, needed := range required {
		if slices.Contains(requiredOfCaches, needed.command) {
			r.commands = append(r.commands, needed)
		}
	}
	if cluster {
		r.commands = append(r.commands, requiredOnCluster...)
	}
	return r
}

// scratch ends the names of keys that are never written: ids in keys have no colon.
const scratch = ":rights"

// keyPatterns returns patterns for every key of the log and of the configured names.
func keyPatterns(k keyspace.Keys) []string {
	if k.Prefix() != "" {
		return []string{k.Prefix() + "*"}
	}
	patterns := []string{keyspace.OwnPrefix + "*"}
	for _, name := range k.Names().All() {
		patterns = append(patterns, name+"*")
	}
	slices.Sort(patterns)
	return patterns
}

// Rules returns the rules of ACL SETUSER that allow these rights and nothing else. With doctor they also allow the commands of `core doctor`.
func (r Rights) Rules(doctor bool) []string {
	rules := make([]string, 0, len(r.commands)+len(r.keyPatterns)+len(r.channelPatterns)+8)
	for _, pattern := range r.keyPatterns {
		rules = append(rules, "~"+pattern)
	}
	for _, pattern := range r.channelPatterns {
		rules = append(rules, "&"+pattern)
	}
	for _, c := range r.commands {
		rules = append(rules, "+"+c.command)
	}
	if r.database {
		rules = append(rules, "+select")
	}
	if doctor {
		for _, command := range doctors {
			rules = append(rules, "+"+command)
		}
		if slices.ContainsFunc(r.commands, func(c right) bool { return c.command == "cluster|slots" }) {
			rules = append(rules, "+cluster|info")
		}
	}
	return rules
}

// Database returns the rights with SELECT, which a URL with a database other than 0 needs.
func (r Rights) Database(db int) Rights {
	r.database = db != 0
	return r
}

// Check proves the rights on every master without any effect: Redis checks the rights for a command when a transaction queues it, and Check discards
// the transaction. It returns a [*ports.RightsError] that names all missing rights. It takes two round trips.
func (r Rights) Check(ctx context.Context, client goredis.UniversalClient) error {
	switch client := conn.Unwrap(client).(type) {
	case *goredis.ClusterClient:
		return client.ForEachMaster(ctx, r.check)
	case *goredis.Client:
		return r.check(ctx, client)
	}
	return fmt.Errorf("rights cannot be checked on a %T", client)
}

// trial is a command that was queued to check its rights.
type trial struct {
	reply                 *goredis.Cmd
	command, key, channel string
}

func (r Rights) check(ctx context.Context, node *goredis.Client) error {
	conn := node.Conn()
	defer func() { _ = conn.Close() }()
	missing := &ports.RightsError{}
	open, err := begin(ctx, conn, missing)
	if err != nil {
		return err
	}
	if open {
		if err := r.try(ctx, conn, missing); err != nil {
			return err
		}
	}
	if missing.Cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ports.ErrUnavailable, missing)
}

// begin proves MULTI and EXEC. If MULTI is allowed, the connection is in a transaction afterwards.
func begin(ctx context.Context, conn *goredis.Conn, missing *ports.RightsError) (open bool, err error) {
	pipe := conn.Pipeline()
	multi, exec, again := pipe.Do(ctx, "multi"), pipe.Do(ctx, "exec"), pipe.Do(ctx, "multi")
	_, _ = pipe.Exec(ctx) // each reply has its own error
	if err := multi.Err(); err != nil && !rediscmd.Answered(err) || again.Err() != nil && !rediscmd.Answered(again.Err()) {
		return false, rediscmd.Unavailable(ctx, errors.Join(multi.Err(), again.Err()))
	}
	take(missing, trial{reply: multi, command: "multi"})
	take(missing, trial{reply: exec, command: "exec"})
	return multi.Err() == nil, nil
}

// try queues all commands and discards the transaction.
func (r Rights) try(ctx context.Context, conn *goredis.Conn, missing *ports.RightsError) error {
	pipe := conn.Pipeline()
	trials := make([]trial, 0, len(r.commands)+2*len(r.keys)+2*len(r.channels)+2)
	queue := func(t trial, words ...any) {
		t.reply = pipe.Do(ctx, words...)
		trials = append(trials, t)
	}
	var some trial
	if len(r.keys) > 0 {
		some.key = r.keys[0]
	}
	if len(r.channels) > 0 {
		some.channel = r.channels[0]
	}
	for _, c := range r.commands {
		if !slices.Contains([]string{"multi", "exec", "discard"}, c.command) { // these are proved by being sent
			some.command = c.command
			queue(some, c.words(some.key, some.channel)...)
		}
	}
	if r.database {
		queue(trial{command: "select"}, "select", "0")
	}
	for _, k := range r.keys {
		queue(trial{command: "get", key: k}, "get", k)
		queue(trial{command: "set", key: k}, "set", k, "x", "xx")
	}
	for _, c := range r.channels {
		queue(trial{command: "publish", channel: c}, "publish", c, "")
		queue(trial{command: "subscribe", channel: c}, "subscribe", c)
	}
	discard := trial{reply: pipe.Do(ctx, "discard"), command: "discard"}
	_, _ = pipe.Exec(ctx) // each reply has its own error
	if err := discard.reply.Err(); err != nil && !rediscmd.Answered(err) {
		return rediscmd.Unavailable(ctx, err)
	}
	for _, t := range append(trials, discard) {
		take(missing, t)
	}
	if discard.reply.Err() != nil {
		_ = conn.Do(ctx, "quit").Err() // no other caller can use the connection
	}
	return nil
}

// words returns the command with a key and a channel in place of K and C.
func (r right) words(key, channel string) []any {
	var words []any
	for _, word := range append(strings.Split(r.command, "|"), strings.Fields(r.args)...) {
		switch word {
		case "K":
			word = key
		case "C":
			word = channel
		}
		words = append(words, word)
	}
	return words
}

// take adds the denial of a trial to e. The text of the reply says whether the command, a key or a channel is denied.
func take(e *ports.RightsError, t trial) {
	err := t.reply.Err()
	if err == nil || !rediscmd.IsDenial(err.Error()) {
		return
	}
	list, name := &e.Commands, t.command
	switch text := err.Error(); {
	case strings.Contains(text, "command"):
	case t.channel != "" && strings.Contains(text, "channel"):
		list, name = &e.Channels, t.channel
	case t.key != "" && strings.Contains(text, "key"):
		list, name = &e.Keys, t.key
	}
	if !slices.Contains(*list, name) {
		*list = append(*list, name)
	}
	if e.Cause == nil {
		e.Cause = err
	}
}
