-- Writes a small value. Replicas that have it also have all earlier writes, by any connection.
--
-- KEYS  the partition's id key, the key to write, this process's witness
-- ARGV  log id, history of the data to confirm, least value that the witness must have
-- Reply '0', or as append.lua: '-1' if the partition belongs to another log, '-3 HISTORY' if the server is at another history, '-5' if its data is
--       older than the data this process has seen

local found = redis.call('MGET', KEYS[1], KEYS[3])
if found[1] ~= ARGV[1] then return '-1' end
local told = redis.pcall('INFO', 'replication')
if type(told) ~= 'string' then return told end
local present = string.match(told, 'master_replid:(%x+)')
if not present then return redis.error_reply('NOHISTORY INFO replication has no master_replid') end
if present ~= ARGV[2] then return '-3 ' .. present end
if (tonumber(found[2] or 0) or 0) < tonumber(ARGV[3]) then return '-5' end
redis.call('SET', KEYS[2], '1', 'EX', '60')
return '0'
