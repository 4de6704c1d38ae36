package effect

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Effects executes the commands of an effect in the script that sets its marker, a key with a TTL. Only commands of a list are allowed (SET, INCRBY,
// HSET, ZADD, XADD, …): those that cannot fail half way once the script has checked them.
//
// Keys are used unchanged, without the namespace. Keys of event logs and of chatcore's own records are refused. On a Cluster all keys must share one
// slot.
type Effects struct {
	client goredis.UniversalClient
	keys   keyspace.Custom
	ttl    time.Duration
	script *goredis.Script
}

var _ ports.Effects = (*Effects)(nil)

// New returns Effects with the given keys. Markers live for ttl, at least one millisecond.
func New(client goredis.UniversalClient, keys keyspace.Custom, ttl time.Duration) *Effects {
	return &Effects{client: client, keys: keys, ttl: ttl, script: goredis.NewScript(onceSource)}
}

// Once implements [ports.Effects] in one round trip.
func (e *Effects) Once(ctx context.Context, name string, id ports.DeliveryID, what ports.Effect) (bool, error) {
	if err := ports.CheckEffect(name, id); err != nil {
		return false, err
	}
	commands, err := plan(what.Commands)
	if err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	keys, args, err := e.arguments(name, id, what.Place(), commands)
	if err != nil {
		return false, err
	}
	reply, err := e.script.Run(ctx, e.client, keys, args...).Slice()
	if err != nil {
		return false, rediscmd.Unavailable(ctx, err)
	}
	switch outcome, _ := reply[0].(int64); outcome {
	case 1:
		return true, nil
	case 0:
		return false, nil
	}
	number, _ := reply[1].(int64)
	holds, _ := reply[2].(string)
	c := commands[number-1]
	return false, &ports.ForeignValueError{Key: c.Command[1], Holds: holds, For: c.Command[0]}
}

func (e *Effects) arguments(name string, id ports.DeliveryID, place string, commands []planned) (keys []string, args []any, err error) {
	marker, ok := e.keys.Marker(place, name, identity(place, id))
	if !ok {
		return nil, nil, &domain.InvalidError{Field: "effect", Problem: fmt.Sprintf("is made on %q", place), Allowed: "a key without braces, or with a hash tag in them"}
	}
	keys = append(keys, marker)
	args = append(args, strconv.FormatInt(max(e.ttl.Milliseconds(), 1), 10), len(commands))
	for i, c := range commands {
		args = append(args, len(c.Command), c.needs, c.leaves, c.counts)
		for _, word := range c.Command {
			args = append(args, word)
		}
		if c.leaves == "-" {
			continue
		}
		key := c.Command[1]
		if err := e.keys.Check(fmt.Sprintf("key of command %d", i+1), key); err != nil {
			return nil, nil, err
		}
		if e.keys.Cluster() && keyspace.SlotOf(key) != keyspace.SlotOf(marker) {
			return nil, nil, &domain.InvalidError{
				Field: "effect", Problem: fmt.Sprintf("is made on %q and changes %q, which is in another slot of the Cluster", place, key),
				Allowed: "keys that share a hash tag",
			}
		}
		keys = append(keys, key)
	}
	return keys, args, nil
}

// identity returns a digest of a delivery and of the place of its effect, in 22 characters. The place is included because places may share a tag.
func identity(place string, id ports.DeliveryID) string {
	hash := sha256.New()
	for _, part := range []string{place, id.Log, string(id.Chat), strconv.FormatUint(uint64(id.Seq), 10), string(id.Event)} {
		hash.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:16])
}
