-- Counts, and gives the counter an end if it has none: at its first count, or because somebody has taken its end away.
--
-- KEYS  the counter
-- ARGV  how long it lives from now on if it has no end; milliseconds
-- Reply the sum as text: as a number it would lose what is beyond 2^53
--
-- INCR comes first: what cannot be counted on is an error before anything is written.

local counter, ttl = KEYS[1], ARGV[1]
redis.call('INCR', counter)
if redis.call('PTTL', counter) == -1 then redis.call('PEXPIRE', counter, ttl) end
return redis.call('GET', counter)
