-- Tells that an instance of a group lives, or that it leaves, and which do.
--
-- KEYS  the group's members, the group
-- ARGV  instance, how long it counts in ms, or 0 if it leaves
-- Reply the instances that live; none if there is no such group, of which nothing is to be left
--
-- An instance that counts for longer than it can, because the clock was set back, is cut to the caller's time, or to LEAST if that is shorter:
-- another one may have a longer lease, and tells that it lives twice a second.

local LEAST = 3000
local members, group, instance, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', group) == 0 then return {} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', members, '-inf', string.format('%d', now))
local most = string.format('%d', now + math.max(ttl, LEAST))
for _, other in ipairs(redis.call('ZRANGEBYSCORE', members, '(' .. most, '+inf')) do redis.call('ZADD', members, 'XX', most, other) end
if ttl > 0 then
  redis.call('ZADD', members, string.format('%d', now + ttl), instance)
  if redis.call('PTTL', members) < ttl then redis.call('PEXPIRE', members, ttl) end -- of a group that is gone nothing stays
else
  redis.call('ZREM', members, instance)
end
return redis.call('ZRANGE', members, 0, -1)
