-- Keeps a snapshot of one entity, unless a later one is there.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, kind and id of the entity, its version, the snapshot
-- Reply 1 if it was kept, 0 if a later one is there or the entity has no such version, -1 if the partition belongs to another log

local log_id, chat, entity, version, snapshot = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
if redis.call('GET', KEYS[1]) ~= log_id then return -1 end

local base = string.sub(KEYS[1], 1, -3) .. chat
local head = tonumber(string.match(redis.call('HGET', base .. ':x', '#') or '0', '^%d+'))
local stored = redis.call('HGET', base .. ':s', entity)
if version > head or stored and tonumber(string.match(stored, '^(%d+):') or 0) >= version then return 0 end
redis.call('HSET', base .. ':s', entity, ARGV[4] .. ':' .. snapshot)
return 1
