-- Opens a session of a user. If there are too many, the oldest ones are closed.
--
-- KEYS  the session's record, STRING of JSON; the user's sessions, HASH id → 'key number opened ends seen idle', times in milliseconds
-- ARGV  the session's id; its key: the end of the record's name; prefix of the user's records; the record without the closing brace; idle time and
--       lifetime in milliseconds; maximum number of the user's sessions
-- Reply {the session's field, then record, id and field of each closed session}, or {} if the HASH has another type
--
-- The numbers order the sessions by age, independent of the clock. The record and the hash are written before a session is closed: a full memory
-- refuses the first write, and then nothing has changed.

local record, sessions = KEYS[1], KEYS[2]
local id, key, prefix, head, idle, lifetime, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local all = redis.pcall('HGETALL', sessions)
if all.err then return string.find(all.err, 'WRONGTYPE', 1, true) and {} or all end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end

local live, dead, last = {}, {}, 0
for i = 1, #all, 2 do
  local at, number, ends, seen, unused = string.match(all[i + 1], '^(%S+) (%d+) %d+ (%d+) (%d+) (%d+)$')
  number = tonumber(number)
  if all[i] ~= id then
    if number and now < (tonumber(ends) or 0) and now - (tonumber(seen) or 0) < (tonumber(unused) or 0) and redis.call('EXISTS', prefix .. at) == 1 then
      live[#live + 1] = {id = all[i], key = prefix .. at, number = number, field = all[i + 1]}
    else
      dead[#dead + 1] = all[i]
    end
    if number and number > last then last = number end
  end
end
table.sort(live, function(a, b) return a.number < b.number end)

local ends = text(now + lifetime)
local field = key .. ' ' .. text(last + 1) .. ' ' .. text(now) .. ' ' .. ends .. ' ' .. text(now) .. ' ' .. text(idle)
redis.call('SET', record, head .. ',"createdAt":' .. text(now) .. ',"expiresAt":' .. ends .. '}', 'PX', text(math.min(idle, lifetime)))
redis.call('HSET', sessions, id, field)
if redis.call('PTTL', sessions) < lifetime then redis.call('PEXPIRE', sessions, text(lifetime)) end

local reply = {field}
for i = 1, #live - most + 1 do
  local value = redis.pcall('GET', live[i].key)
  reply[#reply + 1] = type(value) == 'string' and value or ''
  reply[#reply + 1] = live[i].id
  reply[#reply + 1] = live[i].field
  redis.call('DEL', live[i].key)
  dead[#dead + 1] = live[i].id
end
for _, gone in ipairs(dead) do redis.call('HDEL', sessions, gone) end
return reply
