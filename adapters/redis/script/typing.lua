-- Marks a user as typing, unless that was told a short while ago, and lists the mark for its chat.
--
-- KEYS  the typing mark; the list of the chat's marks, by when they expire
-- ARGV  how long the mark lives, how long a start holds back the next one; milliseconds
-- Reply 1 if the mark was set, 0 if it was told lately

local mark, list, ttl, interval = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local left = redis.call('PTTL', mark)
if left >= 0 and left > ttl - interval and left <= ttl then return 0 end -- more is left only after the clock was set back
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', list, '-inf', string.format('%d', now)) -- first: it fails if the list is something else
redis.call('ZADD', list, string.format('%d', now + ttl), mark)
if redis.call('PTTL', list) < ttl then redis.call('PEXPIRE', list, ttl) end
redis.call('SET', mark, 'true', 'PX', ttl) -- last: a listed mark that is not there does not count
return 1
