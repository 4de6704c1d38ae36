-- Increments a counter, and sets its TTL if it has none: at its first count, or if another program has removed the TTL.
--
-- KEYS  the counter
-- ARGV  TTL in milliseconds for a counter without one
-- Reply the sum as text: a Lua number is not exact beyond 2^53
--
-- INCR comes first: a value that is no counter is an error before the first write.

local counter, ttl = KEYS[1], ARGV[1]
redis.call('INCR', counter)
if redis.call('PTTL', counter) == -1 then redis.call('PEXPIRE', counter, ttl) end
return redis.call('GET', counter)
