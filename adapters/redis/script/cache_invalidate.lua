-- Removes a cached value and ends its lease. With a version it removes only what is of an earlier one, of none or of another origin, and remembers the
-- version, below which nothing of its origin is written then; the lease is left.
--
-- KEYS  the value, STRING; its lease, STRING; the version that was invalidated and its origin, STRING; what is known of the value, STRING, if that
--       lies beside it
-- ARGV  version or 0, how long it is remembered in milliseconds, origin or ''
-- Reply 1
--
-- A value of another kind is nobody's cached value: it stays. Whether the others are of another kind shows before anything is written.

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
