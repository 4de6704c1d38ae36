-- Uses a session: returns it if it is live, records the use if that is due, and moves it to another key if one is given.
--
-- A session opened in the future, because the clock was set back, counts as opened now: from now on it lives no longer than its lifetime.
--
-- A session is live only with both its record and its field in the user's HASH, which names the record. To delete either is to close the session, and
-- a lost one revives nothing. The record's TTL ends the session too. The times in the field apply if another program has changed the TTL.
--
-- The caller's clock usually saves a TIME, a third of the cost: most uses are neither due nor late by it, and need nothing else. All other decisions
-- use Redis's clock. If the caller's clock is wrong, uses are at worst recorded later than due. No session is revived, because the TTL runs in Redis.
--
-- KEYS  the session's record; the user's sessions, HASH id → 'key number opened ends seen idle', times in milliseconds; the record's new name, if it
--       moves
-- ARGV  its key: the end of the record's name; '1' if other programs also store records here; the caller's time in milliseconds; the new key, if it
--       moves
-- Reply {1, record, id, present field}, {0} if there is no session, {-1} if a key holds another value, {2, record} for a record of another program

local record, sessions, moved = KEYS[1], KEYS[2], KEYS[3]
local key, shared, about, other = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4]

local value = redis.pcall('GET', record)
if not value then return {0} end
if type(value) ~= 'string' then return string.find(value.err, 'WRONGTYPE', 1, true) and {-1} or value end
local id = string.match(value, '^{"_cc":{"id":"([%w_-]+)"')
if not id then return shared and {2, value} or {-1} end
local field = redis.pcall('HGET', sessions, id)
if not field then return {0} end
if type(field) ~= 'string' then return string.find(field.err, 'WRONGTYPE', 1, true) and {-1} or field end
if string.sub(field, 1, #key + 1) ~= key .. ' ' then return {0} end
local ends, seen, idle = string.match(field, '^%d+ %d+ (%d+) (%d+) (%d+)$', #key + 2)
ends, seen, idle = tonumber(ends), tonumber(seen), tonumber(idle)
if not (ends and seen and idle) then return {-1} end
if not moved and about >= seen and (about - seen) * 10 < idle and about < ends then return {1, value, id, field} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now >= ends or now - seen >= idle then
  redis.call('DEL', record)
  redis.call('HDEL', sessions, id)
  return {0}
end
local due = now < seen or (now - seen) * 10 >= idle
if not due and not moved then return {1, value, id, field} end

local number, opened = string.match(field, ' (%d+) (%d+) %d+ %d+ %d+$')
if moved then key = other end
if due then
  seen = now
  if tonumber(opened) > now then
    ends = now + ends - tonumber(opened)
    opened = string.format('%.0f', now)
  end
end
local fresh = string.format('%s %s %s %.0f %.0f %.0f', key, number, opened, ends, seen, idle)
redis.call('HSET', sessions, id, fresh)
if moved then
  local renamed = redis.pcall('RENAME', record, moved)
  if renamed.err then -- the session keeps its old key
    redis.call('HSET', sessions, id, field)
    return renamed
  end
  record = moved
end
if due then redis.call('PEXPIRE', record, string.format('%.0f', math.min(idle, ends - now))) end
return {1, value, id, fresh}
