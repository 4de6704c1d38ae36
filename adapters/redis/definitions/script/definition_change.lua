-- Changes a definition if it is still the one that was read. The revision of all definitions grows with it: it is at least the time in milliseconds, so
-- that it never takes a value again after a loss of data. It is written before a definition is removed: a call that fails between the two, because the
-- Redis user lacks a right, makes processes read the definitions in vain and hides no change.
--
-- KEYS  the hash of the definitions
-- ARGV  the group, the definition that was read ('' for none), the new one ('' removes it)
-- Reply 1 if the definition is the new one, 0 if it is neither

local definitions, group, before, after = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local present = redis.call('HGET', definitions, group) or ''
if present == after then return 1 end
if present ~= before then return 0 end
local time, revision = redis.call('TIME'), tonumber(redis.call('HGET', definitions, '')) or 0
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local grown = string.format('%.0f', math.max(revision + 1, now))
if after == '' then
  redis.call('HSET', definitions, '', grown)
  redis.call('HDEL', definitions, group)
else
  redis.call('HSET', definitions, '', grown, group, after)
end
return 1
