-- Writes the first checkpoints of a new group: events appended before it are not delivered to it.
--
-- KEYS  id of the log, the group, its checkpoints
-- ARGV  log id, '1' if these are the last, then pairs of chat and seq
-- Reply 1, 0 if another member has finished it, or -1 if the partition belongs to another log

local id, group, checkpoints = KEYS[1], KEYS[2], KEYS[3]
local log_id, last = ARGV[1], ARGV[2] == '1'
if redis.call('GET', id) ~= log_id then return -1 end
if redis.call('HGET', group, 'state') ~= 'new' then return 0 end

for i = 3, #ARGV, 2 do redis.call('HSETNX', checkpoints, ARGV[i], ARGV[i + 1]) end
if last then redis.call('HSET', group, 'state', 'ready') end
return 1
