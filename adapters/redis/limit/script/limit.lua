-- Takes calls from a fixed window, all or none. The window begins with its first call and ends with the counter's TTL.
--
-- The counter is a plain counter of INCR, which other programs increment too. If it has no TTL or one longer than the window, because another program
-- set none or the clock was set back, it expires after one window.
--
-- KEYS  the counter
-- ARGV  calls per window, the window in milliseconds, calls to take
-- Reply {1 if they were taken, 0 if they are too many, -1 if the value is no count; the count; milliseconds to the window's end}

local counter, rate, window, n = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if n == 0 and redis.call('EXISTS', counter) == 0 then return {1, 0, 0} end
local count = redis.call('INCRBY', counter, ARGV[3]) -- first: it fails if the key has another type
if count < n then
  redis.call('DECRBY', counter, ARGV[3])
  return {-1, 0, 0}
end
if count == n and n > 0 then
  redis.call('PEXPIRE', counter, window)
  return {1, count, window}
end
local left = redis.call('PTTL', counter)
if left < 0 or left > window then
  redis.call('PEXPIRE', counter, window)
  left = window
end
if count > rate and n > 0 then
  redis.call('DECRBY', counter, ARGV[3])
  return {0, count - n, left}
end
return {1, count, left}
