-- Says of users, by Redis's time, whether their last heartbeat has ended. It writes nothing, so it answers also where nobody sweeps.
--
-- KEYS  the due index, ZSET user → end of the last heartbeat; each user's record, HASH (see presence.lua)
-- ARGV  the users, in the order of their records
-- Reply for each user what is known, then when the last heartbeat ends in milliseconds since 1970 or 0:
--       0 nothing, 1 published as online and so, 2 published as online but the last heartbeat has ended, 3 published as offline
--
-- A record that is lost, or is someone else's, says nothing; then an entry in the index does, which is removed with the last heartbeat.

local due, time = KEYS[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = {}
for i, user in ipairs(ARGV) do
  local fields = redis.pcall('HMGET', KEYS[i + 1], ' told', ' last')
  local told, last = tonumber(fields[1] or ''), tonumber(fields[2] or '')
  local known = 1
  if not told then
    local score = redis.pcall('ZSCORE', due, user)
    last = type(score) == 'string' and tonumber(score) or nil
    known = last and last <= now and 2 or 0
  elseif told == 0 then
    known = 3
  elseif last and last <= now then
    known = 2
  end
  reply[2 * i - 1], reply[2 * i] = known, last or 0
end
return reply
