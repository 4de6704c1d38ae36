-- Lists a user's live sessions.
--
-- KEYS  the user's sessions, HASH id → 'key number opened ends seen idle', times in milliseconds
-- ARGV  prefix of the user's records
-- Reply {1, then record, id and field of each}, {-1} if the HASH has another type

local sessions, prefix = KEYS[1], ARGV[1]
local all = redis.pcall('HGETALL', sessions)
if all.err then return string.find(all.err, 'WRONGTYPE', 1, true) and {-1} or all end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = {1}
for i = 1, #all, 2 do
  local at, ends, seen, idle = string.match(all[i + 1], '^(%S+) %d+ %d+ (%d+) (%d+) (%d+)$')
  if at and now < (tonumber(ends) or 0) and now - (tonumber(seen) or 0) < (tonumber(idle) or 0) and redis.call('TYPE', prefix .. at).ok == 'string' then
    reply[#reply + 1] = redis.call('GET', prefix .. at)
    reply[#reply + 1] = all[i]
    reply[#reply + 1] = all[i + 1]
  end
end
return reply
