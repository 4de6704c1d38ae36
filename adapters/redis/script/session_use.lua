-- Uses a session: gives it if it is live, notes the use if that is due and, where there is another key for it, moves it there.
--
-- A session is live only with both its record and its field in the user's HASH, which names the record: to delete either is to close it, and
-- a lost one brings nothing back. Its TTL ends it too; the times in the field hold where somebody has changed that.
--
-- KEYS  the session's record; the user's sessions, HASH id → 'key number opened ends seen idle', times in milliseconds; the record's other name, if it moves
-- ARGV  its key: what the record's name ends with; whether others keep records here ('1'); the other key, if it moves
-- Reply {1, record, id, field as it is now}, {0} if there is none, {-1} if something else is kept there, {2, record} of others

local record, sessions, moved = KEYS[1], KEYS[2], KEYS[3]
local key, shared, other = ARGV[1], ARGV[2] == '1', ARGV[3]

local value = redis.pcall('GET', record)
if not value then return {0} end
if type(value) ~= 'string' then return {-1} end
local id = string.match(value, '^{"_cc":{"id":"([%w_-]+)"')
if not id then return shared and {2, value} or {-1} end
local field = redis.pcall('HGET', sessions, id)
if not field then return {0} end
if type(field) ~= 'string' then return {-1} end
local at, number, opened, ends, seen, unused = string.match(field, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
if not at then return {-1} end
if at ~= key then return {0} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, since, left = tonumber(unused) or 0, now - (tonumber(seen) or 0), (tonumber(ends) or 0) - now
if left <= 0 or since >= idle then
  redis.call('DEL', record)
  redis.call('HDEL', sessions, id)
  return {0}
end
local due = moved or since < 0 or since * 10 >= idle
if not due then return {1, value, id, field} end

if moved then
  redis.call('RENAME', record, moved)
  record, at = moved, other
end
if since < 0 or since * 10 >= idle then
  seen = string.format('%.0f', now)
  redis.call('PEXPIRE', record, string.format('%.0f', math.min(idle, left)))
end
field = table.concat({at, number, opened, ends, seen, unused}, ' ')
redis.call('HSET', sessions, id, field)
return {1, value, id, field}
