-- Writes a cached value, unless it is outdated. With a token, the write is refused if the lease has ended or was acquired for another value, unless
-- the stored value has an earlier version. Without a token it is refused below the version of the stored value. Any write is refused below the
-- invalidated version. Versions of another origin count as none.
--
-- KEYS  the value, STRING; its lease, STRING of token and digest of the value read; the invalidated version and its origin, STRING; the value's
--       metadata, STRING, if it is in a separate key
-- ARGV  token or '', 1 to end the lease and write nothing, version or 0, TTL of the value in milliseconds, the value or '' to remove it, its metadata
--       or '' if that is in the value, origin or ''
-- Reply {1} if the value was written, {0, the stored value, its metadata} if not
--
-- All keys are read before the first write: a value of another type shows then.

local key, lease, floor, beside = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, release, version, ms, new, about, origin = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local value = redis.call('GET', key)
if value == '' then value = false end -- not JSON; readers treat it like a missing value
local held = redis.call('GET', lease)
local least, of = string.match(redis.call('GET', floor) or '', '^(%d+) ?(%w*)$')
least = of == origin and tonumber(least) or 0
local known = beside and redis.call('GET', beside) or ''

-- kept returns the version of the stored value, 0 for none. Metadata in a second key counts only if it has the digest of the value.
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
redis.call('DEL', lease) -- last: after a refused write the same call can be repeated
return {1}
