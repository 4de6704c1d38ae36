-- Returns for users whether their last heartbeat has ended, by Redis's time. It writes nothing, so its result is right even if no process sweeps.
--
-- KEYS  the due index, ZSET user → end of the last heartbeat; each user's record, HASH (see presence.lua)
-- ARGV  the users, in the order of their records
-- Reply for each user a state, then the end of the last heartbeat in milliseconds since 1970 or 0:
--       0 unknown, 1 published as online and still online, 2 published as online but the last heartbeat has ended, 3 published as offline
--
-- If a record is lost or has another type, the entry in the index decides, which is removed with the last heartbeat.

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
