-- Closes one session of a user, or all. The deletion of the HASH closes all: without its field a record is no session. The records are removed with
-- it, as many as a user may have.
--
-- KEYS  the user's sessions, HASH id → 'key number opened ends seen idle', times in milliseconds
-- ARGV  prefix of the user's records; the session's id, or '' for all
-- Reply {1, then record, id and field of each session that was live}, {-1} if the HASH has another type

local sessions, prefix, id = KEYS[1], ARGV[1], ARGV[2]
local all
if id == '' then
  all = redis.pcall('HGETALL', sessions)
else
  local field = redis.pcall('HGET', sessions, id)
  if type(field) == 'string' then all = {id, field} else all = field or {} end
end
if all.err then return string.find(all.err, 'WRONGTYPE', 1, true) and {-1} or all end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local reply, records = {1}, {}
for i = 1, #all, 2 do
  local at, ends, seen, idle = string.match(all[i + 1], '^(%S+) %d+ %d+ (%d+) (%d+) (%d+)$')
  if at then
    records[#records + 1] = prefix .. at
    if redis.call('TYPE', prefix .. at).ok == 'string' and now < (tonumber(ends) or 0) and now - (tonumber(seen) or 0) < (tonumber(idle) or 0) then
      reply[#reply + 1] = redis.call('GET', prefix .. at)
      reply[#reply + 1] = all[i]
      reply[#reply + 1] = all[i + 1]
    end
  end
end
if id == '' then redis.call('DEL', sessions) else redis.call('HDEL', sessions, id) end
for _, record in ipairs(records) do redis.call('DEL', record) end
return reply
