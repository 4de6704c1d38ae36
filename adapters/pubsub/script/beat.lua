-- Tells that an instance of a group lives, or that it leaves, and which do.
--
-- KEYS  the group's members
-- ARGV  instance, how long it counts in ms, or 0 if it leaves
-- Reply the instances that live

local members, instance, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
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
