-- Records the heartbeat of a group's member, or that it leaves, and returns the members. A member may decline streams for a while.
--
-- KEYS  the group's members, the group, the streams that members decline
-- ARGV  member, ms until its heartbeat expires, or 0 if it leaves, ms that it declines a stream, streams that it declines from now on
-- Reply {members whose heartbeats have not expired, "member stream" for each declined stream}; {{}, {}} if the group does not exist: then the
--       script writes nothing
--
-- An expiry that is too far away, because the clock was set back, is cut to the caller's time, or to LEAST if that is longer: another member may
-- have a longer lease, and sends a heartbeat twice a second. A stream whose decline expires too far away is no longer declined.

local LEAST = 3000
local members, group, declined, instance, ttl, cool_down = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('EXISTS', group) == 0 then return {{}, {}} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function until_(ms) return string.format('%d', now + ms) end
redis.call('ZREMRANGEBYSCORE', members, '-inf', until_(0))
local most = until_(math.max(ttl, LEAST))
for _, other in ipairs(redis.call('ZRANGEBYSCORE', members, '(' .. most, '+inf')) do redis.call('ZADD', members, 'XX', most, other) end
redis.call('ZREMRANGEBYSCORE', declined, '-inf', until_(0))
redis.call('ZREMRANGEBYSCORE', declined, '(' .. until_(cool_down), '+inf')
if ttl > 0 then
  redis.call('ZADD', members, until_(ttl), instance)
  if redis.call('PTTL', members) < ttl then redis.call('PEXPIRE', members, ttl) end -- a deleted group leaves nothing
else
  redis.call('ZREM', members, instance)
end
for i = 4, #ARGV do redis.call('ZADD', declined, until_(cool_down), instance .. ' ' .. ARGV[i]) end
if #ARGV > 3 then redis.call('PEXPIRE', declined, cool_down) end
return {redis.call('ZRANGE', members, 0, -1), redis.call('ZRANGE', declined, 0, -1)}
