-- Removes a cached value and ends its lease. With a version it removes the value only if that has an earlier version, none or another origin. It then
-- remembers the version, so that no lower one of this origin is written; the lease remains.
--
-- KEYS  the value, STRING; its lease, STRING; the invalidated version and its origin, STRING; the value's metadata, STRING, if it is in a separate
--       key
-- ARGV  version or 0, how long to remember it in milliseconds, origin or ''
-- Reply 1
--
-- A value of another type is no cached value and remains. Other types of the other keys show before the first write.

local key, lease, floor, beside, version, ms, origin = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local kind = redis.call('TYPE', key).ok
local value = kind == 'string' and redis.call('GET', key)
local known = beside and redis.call('GET', beside) or ''
local least, of = string.match(redis.call('GET', floor) or '', '^(%d+) ?(%w*)$')
least = of == origin and tonumber(least) or 0

if version == 0 then
  redis.call('DEL', lease)
else
  if version >= least then redis.call('SET', floor, origin == '' and ARGV[1] or ARGV[1] .. ' ' .. origin, 'PX', ms) end
  local kept, made, digest = 0, '', ''
  if value and not beside then
    kept, made = string.match(value, '^{"_cc":{"s":%d+,"v":(%d+),"f":%-?%d+([^}]*)}')
    made = string.match(made or '', '^,"o":"(%w+)"$') or made
  elseif value then
    kept, digest, made = string.match(known, '^%d+ (%d+) %-?%d+ (%x+) ?(%w*)$')
    if digest ~= redis.sha1hex(value) then kept = nil end
  end
  if made == origin and (tonumber(kept) or 0) >= version then return 1 end
end
if value then redis.call('DEL', key) end
if beside then redis.call('DEL', beside) end
return 1
