-- Writes a cached value, or refuses to: under a token whose lease has ended or has seen another value, unless that is of an earlier version;
-- without a token, below a version that is kept; in either case below one that was invalidated. Versions of another origin count as none.
--
-- KEYS  the value, STRING; its lease, STRING token and digest of what was seen; the version that was invalidated and its origin, STRING; what is
--       known of the value, STRING, if that lies beside it
-- ARGV  token or '', 1 to end the lease and write nothing, version or 0, how long the value lives in milliseconds, the value or '' to remove
--       it, what is known of it or '' if it lies in the value, origin or ''
-- Reply {1} if it was written, {0, the value, what is known of it} if not
--
-- All keys are read before one is written: a value of another kind shows then.

local key, lease, floor, beside = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, release, version, ms, new, about, origin = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local value = redis.call('GET', key)
if value == '' then value = false end -- is no JSON, and to readers the same as nothing
local held = redis.call('GET', lease)
local least, of = string.match(redis.call('GET', floor) or '', '^(%d+) ?(%w*)$')
least = of == origin and tonumber(least) or 0
local known = beside and redis.call('GET', beside) or ''

-- The version of what is kept: of a value with what is known beside it, only if that is of this value.
local function kept()
  if not value then return 0 end
  if not beside then
    local v, made = string.match(value, '^{"_cc":{"s":%d+,"v":(%d+),"f":%-?%d+([^}]*)}')
    made = string.match(made or '', '^,"o":"(%w+)"$') or made
    return made == origin and tonumber(v) or 0
  end
  local v, digest, made = string.match(known, '^%d+ (%d+) %-?%d+ (%x+) ?(%w*)$')
  return made == origin and digest == redis.sha1hex(value) and tonumber(v) or 0
end
local function refused() return {0, value or '', value and known or ''} end

if token ~= '' then
  local mine = held and string.sub(held, 1, #token + 1) == token .. ' '
  if mine and release then redis.call('DEL', lease) end
  if release then return refused() end
  local untouched = mine and string.sub(held, #token + 2) == (value and redis.sha1hex(value .. '\n' .. known) or '')
  local k = kept()
  if not untouched and not (k > 0 and k < version) or version < least then
    if mine then redis.call('DEL', lease) end
    return refused()
  end
elseif version < least or version < kept() then
  return refused()
end
if new == '' then
  redis.call('DEL', key)
else
  redis.call('SET', key, new, 'PX', ms)
end
if beside then
  if about == '' then redis.call('DEL', beside) else redis.call('SET', beside, about, 'PX', ms) end
end
redis.call('DEL', lease) -- last: after a refused write the same call can be made again
return {1}
