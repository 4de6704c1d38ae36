-- Takes, renews or gives back a lease. One without an end was written by someone else, and is taken.
--
-- KEYS  the lease
-- ARGV  token of who asks; how long the lease lives in milliseconds, 0 to give it back
-- Reply 1 if it is, or was, that one's; 0 if it is another one's

local lease, token, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
local holder = redis.call('GET', lease)
if holder and holder ~= token and redis.call('PTTL', lease) > 0 then return 0 end
if ttl > 0 then
  redis.call('SET', lease, token, 'PX', ttl)
elseif holder == token then
  redis.call('DEL', lease)
end
return 1
