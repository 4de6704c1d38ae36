-- Stores a snapshot of one entity, unless a later one exists.
--
-- KEYS  the partition's id key, this process's witness
-- ARGV  log id, chat as in keys, field of the entity in :x, its version, the snapshot, its history, least value that the witness must have
-- Reply 1 if it was stored, 0 if a later one exists, the version is beyond the head or before the erasure of the message or the deletion of the chat, the
--       server is at another history or its data is older than the data this process has seen, -1 if the partition belongs to another log
--
-- The version has a separate field, so that reading it does not load the whole snapshot.

local log_id, chat, field, version, snapshot = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local found = redis.call('MGET', KEYS[1], KEYS[2])
if found[1] ~= log_id then return -1 end
if (tonumber(found[2] or 0) or 0) < tonumber(ARGV[7]) then return 0 end

local told = redis.pcall('INFO', 'replication')
if type(told) ~= 'string' then return told end
if string.match(told, 'master_replid:(%x+)') ~= ARGV[6] then return 0 end

-- moved_after returns the last event of an entity, '' if that has the version or an earlier one.
local function moved_after(base, field, version)
  local last = tonumber(string.match(redis.call('HGET', base .. ':x', field) or '0', '^%d+'))
  if last <= version then return '' end
  return redis.call('LINDEX', base .. ':' .. math.floor((last - 1) / 1024), (last - 1) % 1024) or ''
end

-- erased_after reports whether the entity is a message that was erased after a version, or the chat was deleted after it: a snapshot of that version may have
-- content that is erased. An erasure is the last event of its message, and a deletion that of its chat.
local function erased_after(base, field, version)
  if string.find(moved_after(base, ' c', version), '^[^{]*{"eventId":".-","type":"chat:deleted",') then return true end
  if string.sub(field, 1, 1) == ' ' then return false end
  local entry = moved_after(base, field, version)
  return (string.find(entry, '^[^{]*{\2z') or string.find(entry, '^[^{]*{"eventId":".-","type":"message:erased",')) ~= nil
end

local base = string.sub(KEYS[1], 1, -3) .. chat
local head = tonumber(string.match(redis.call('HGET', base .. ':x', ' ') or '0', '^%d+'))
local stored = tonumber(redis.call('HGET', base .. ':s', field) or 0) or 0
if version > head or stored >= version or erased_after(base, field, version) then return 0 end
redis.call('HSET', base .. ':s', field, ARGV[4], '=' .. field, snapshot)
return 1
