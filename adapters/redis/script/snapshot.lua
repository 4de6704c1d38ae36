-- Keeps a snapshot of one entity, unless a later one is there.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, field of the entity in :x, its version, the snapshot, the history of which it is or '' if that is not known
-- Reply 1 if it was kept, 0 if a later one is there, the chat has not come so far or the server is at another history, -1 if the partition
--       belongs to another log
--
-- The version has a field of its own, so that looking at it does not take hold of the whole snapshot.

local log_id, chat, field, version, snapshot = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
if redis.call('GET', KEYS[1]) ~= log_id then return -1 end

local told = redis.pcall('INFO', 'replication')
local present = type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''
if ARGV[6] ~= '' and present ~= ARGV[6] then return 0 end

local base = string.sub(KEYS[1], 1, -3) .. chat
local head = tonumber(string.match(redis.call('HGET', base .. ':x', ' ') or '0', '^%d+'))
local stored = tonumber(redis.call('HGET', base .. ':s', field) or 0) or 0
if version > head or stored >= version then return 0 end
redis.call('HSET', base .. ':s', field, ARGV[4], '=' .. field, snapshot)
return 1
