-- Takes the lease of a cached value, unless someone holds it or the value is not what the caller has seen.
--
-- KEYS  the value, STRING; its lease, STRING token and digest of what was seen; what is known of the value, STRING, if that lies beside it
-- ARGV  token, how long the lease lives in milliseconds, digest of what was seen or '' for nothing
-- Reply {1} if the lease is the caller's, {0} if it is someone else's, {2, the value, what is known of it} if the value is another

local key, lease, beside, token, ms, seen = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local value = redis.call('GET', key)
if value == '' then value = false end -- is no JSON, and to readers the same as nothing
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
