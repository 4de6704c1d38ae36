-- Acquires the lease of a cached value, unless it is held or the value is not the one that the caller has read.
--
-- KEYS  the value, STRING; its lease, STRING of token and digest of the value read; the value's metadata, STRING, if it is in a separate key
-- ARGV  token, duration of the lease in milliseconds, digest of the value read or '' for none
-- Reply {1} if the caller has the lease, {0} if another one has it, {2, the value, its metadata} if the value is another one

local key, lease, beside, token, ms, seen = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local value = redis.call('GET', key)
if value == '' then value = false end -- not JSON; readers treat it like a missing value
local held = redis.call('GET', lease)
local known = beside and redis.call('GET', beside) or ''

local mark = value and redis.sha1hex(value .. '\n' .. known) or ''
if mark ~= seen then return {2, value or '', value and known or ''} end
local mine = token .. ' ' .. seen
if held then
  if redis.call('PTTL', lease) > tonumber(ms) then redis.call('PEXPIRE', lease, ms) end -- the clock was set back
  return {held == mine and 1 or 0}
end
redis.call('SET', lease, mine, 'PX', ms)
return {1}
