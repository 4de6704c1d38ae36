-- Writes something small: replicas that have it have all that came before it too, whoever wrote that.
--
-- KEYS  the partition's id key, what is written
-- ARGV  log id, history of which the findings are
-- Reply '0', or as append.lua: '-1' if the partition belongs to another log, '-3 HISTORY' if the server is at another history

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '-1' end
local told = redis.pcall('INFO', 'replication')
local present = type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''
if present ~= ARGV[2] then return '-3 ' .. present end
redis.call('SET', KEYS[2], '1', 'EX', '60')
return '0'
