package rig

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
)

// Forward simulates the passage of time for the keys under the prefix: it moves each key's expiry, the ends in lists of typing marks, and the times
// of GCRA.
func Forward(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) func(time.Duration) {
	const script = `
		local prefix, ms = ARGV[1], tonumber(ARGV[2])
		for _, key in ipairs(redis.call('KEYS', prefix .. '*')) do
			local left, kind = redis.call('PTTL', key), redis.call('TYPE', key).ok
			if left >= 0 and left <= ms then
				redis.call('DEL', key)
			elseif left >= 0 then
				if kind == 'zset' then
					for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ms, member) end
				elseif kind == 'string' and string.find(key, 'cc:gcra:', 1, true) then
					redis.call('SET', key, redis.call('GET', key) - ms / 1000)
				end
				redis.call('PEXPIRE', key, left - ms)
			end
		end`
	return func(d time.Duration) {
		on := func(ctx context.Context, client *goredis.Client) error {
			err := client.Eval(ctx, script, nil, keys.Prefix(), d.Milliseconds()).Err()
			if errors.Is(err, goredis.Nil) {
				return nil
			}
			return err
		}
		var err error
		switch c := client.(type) {
		case *goredis.ClusterClient:
			err = c.ForEachMaster(t.Context(), on)
		case *goredis.Client:
			err = on(t.Context(), c)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
