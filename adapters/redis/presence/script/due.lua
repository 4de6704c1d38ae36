-- Returns users whose heartbeats may have ended by Redis's time, in the order of their ends. An end further away than the lifetime of a heartbeat was
-- written while the clock was ahead; such users are returned too.
--
-- KEYS  the due index, ZSET user → end of the last heartbeat
-- ARGV  lifetime of a heartbeat in milliseconds; maximum number of users
-- Reply the users

local due, life, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
if #found < limit then
  for _, user in ipairs(redis.call('ZRANGE', due, '(' .. string.format('%.0f', now + life), '+inf', 'BYSCORE', 'LIMIT', 0, limit - #found)) do
    found[#found + 1] = user
  end
end
return found
