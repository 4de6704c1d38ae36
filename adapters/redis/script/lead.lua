-- Takes, renews or gives back a lease. One without an end was written by someone else, and is taken. One that lives longer than a lease can,
-- because the clock was set back, is cut.
--
-- KEYS  the lease
-- ARGV  token of who asks; how long the lease lives in milliseconds, 0 to give it back
-- Reply 1 if it is, or was, that one's; 0 if it is another one's

local lease, token, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
local holder = redis.call('GET', lease)
local left = holder and redis.call('PTTL', lease) or 0
if holder ~= token and left > 0 then
  if ttl > 0 and left > ttl then redis.call('PEXPIRE', lease, ttl) end
  return 0
end
if ttl > 0 then
  redis.call('SET', lease, token, 'PX', ttl)
elseif holder == token then
  redis.call('DEL', lease)
end
return 1
