-- Raises this process's witness in a partition. Data restored from an older backup has a lower value, or none.
--
-- KEYS  the partition's id key, the witness
-- ARGV  log id, least value that the witness must have, its new value, its TTL in seconds
-- Reply 1; 0 if the partition's data is older than the data this process has seen; -1 if the partition belongs to another log

local found = redis.call('MGET', KEYS[1], KEYS[2])
if found[1] ~= ARGV[1] then return -1 end
local stored = tonumber(found[2] or 0) or 0
if stored < tonumber(ARGV[2]) then return 0 end
if stored < tonumber(ARGV[3]) then redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4]) end
return 1
