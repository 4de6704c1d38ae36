-- Finds users whose heartbeats may be over by Redis's time, those that end first in front. An end that is further away than a heartbeat
-- lives was written by a clock that has gone back since; it is found too.
--
-- KEYS  the due index, ZSET user → end of the last device
-- ARGV  how long a heartbeat lives in milliseconds; how many users at most
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
