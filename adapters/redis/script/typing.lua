-- Marks a user as typing, unless that was told a short while ago.
--
-- KEYS  the typing mark
-- ARGV  how long the mark lives, how long a start holds back the next one; milliseconds
-- Reply 1 if the mark was set, 0 if it was told lately

local mark, ttl, interval = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('PTTL', mark) > ttl - interval then return 0 end
redis.call('SET', mark, 'true', 'PX', ttl)
return 1
