-- Tells that an instance of a group lives, or that it leaves, and which do.
--
-- KEYS  the group's members, the group
-- ARGV  instance, how long it counts in ms, or 0 if it leaves
-- Reply the instances that live; none if there is no such group, of which nothing is to be left

local members, group, instance, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', group) == 0 then return {} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', members, '-inf', string.format('%d', now))
if ttl > 0 then
  redis.call('ZADD', members, string.format('%d', now + ttl), instance)
  if redis.call('PTTL', members) < ttl then redis.call('PEXPIRE', members, ttl) end -- of a group that is gone nothing stays
else
  redis.call('ZREM', members, instance)
end
return redis.call('ZRANGE', members, 0, -1)
