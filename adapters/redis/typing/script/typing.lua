-- Marks a user as typing, unless that was done a short while ago, and adds the mark to the chat's list.
--
-- KEYS  the typing mark; the list of the chat's marks by expiry
-- ARGV  lifetime of the mark, minimum interval between two starts; both in milliseconds
-- Reply 1 if the mark was set, 0 if one was set within the interval

local mark, list, ttl, interval = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local left = redis.call('PTTL', mark)
if left >= 0 and left > ttl - interval and left <= ttl then return 0 end -- more than ttl is left only after the clock was set back
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', list, '-inf', string.format('%d', now)) -- first: it fails if the list has another type
redis.call('ZADD', list, string.format('%d', now + ttl), mark)
if redis.call('PTTL', list) < ttl then redis.call('PEXPIRE', list, ttl) end
redis.call('SET', mark, 'true', 'PX', ttl) -- last: a listed mark without a key does not count
return 1
