-- Acquires, renews or releases a lease. A lease without a TTL was written by another program, and may be acquired. A TTL longer than that of a lease,
-- after the clock was set back, is shortened.
--
-- KEYS  the lease
-- ARGV  token of the caller; duration of the lease in milliseconds, 0 to release it
-- Reply 1 if the caller has the lease, or has released it; 0 if another one has it

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
