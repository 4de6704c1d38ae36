-- Uses a session: gives it if it is live, notes the use if that is due and, where there is another key for it, moves it there.
--
-- A session that was opened after now, because the clock was set back, is taken as opened now: it lives no longer than its lifetime from now on.
--
-- A session is live only with both its record and its field in the user's HASH, which names the record: to delete either is to close it, and
-- a lost one brings nothing back. Its TTL ends it too; the times in the field hold where somebody has changed that.
--
-- The caller's clock saves asking for the time, a third of the cost: by it most uses are neither due nor late, and they need nothing else. What
-- is decided on is Redis's clock. A caller's that is wrong has uses noted later than due at worst, and revives nothing: the TTL runs here.
--
-- KEYS  the session's record; the user's sessions, HASH id → 'key number opened ends seen idle', times in milliseconds; the record's other name, if it moves
-- ARGV  its key: what the record's name ends with; whether others keep records here ('1'); the caller's time in milliseconds;
--       the other key, if it moves
-- Reply {1, record, id, field as it is now}, {0} if there is none, {-1} if something else is kept there, {2, record} of others

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
  if renamed.err then -- the session stays where it was
    redis.call('HSET', sessions, id, field)
    return renamed
  end
  record = moved
end
if due then redis.call('PEXPIRE', record, string.format('%.0f', math.min(idle, ends - now))) end
return {1, value, id, fresh}
