-- Removes a cached value and ends its lease. With a version it removes only what is of an earlier one or of none, and remembers the version,
-- below which nothing is written then; the lease is left.
--
-- KEYS  the value, STRING; its lease, STRING; the version that was invalidated, STRING; what is known of the value, STRING, if that lies
--       beside it
-- ARGV  version or 0, how long it is remembered in milliseconds
-- Reply 1
--
-- A value of another kind is nobody's cached value: it stays. Whether the others are of another kind shows before anything is written.

local key, lease, floor, beside, version, ms = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1]), ARGV[2]
local kind = redis.call('TYPE', key).ok
local value = kind == 'string' and redis.call('GET', key)
local known = beside and redis.call('GET', beside) or ''
local least = tonumber(redis.call('GET', floor) or 0) or 0

if version == 0 then
  redis.call('DEL', lease)
else
  if version >= least then redis.call('SET', floor, ARGV[1], 'PX', ms) end
  local kept = 0
  if value and not beside then
    kept = tonumber(string.match(value, '^{"_cc":{"s":%d+,"v":(%d+)') or 0)
  elseif value then
    local v, digest = string.match(known, '^%d+ (%d+) %-?%d+ (%x+)$')
    kept = digest == redis.sha1hex(value) and tonumber(v) or 0
  end
  if kept >= version then return 1 end
end
if value then redis.call('DEL', key) end
if beside then redis.call('DEL', beside) end
return 1
