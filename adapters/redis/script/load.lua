-- Loads entities of one chat: for each its version, and the events that moved it by walking back through their links, or as far as a
-- snapshot. A call walks at most as many links as it is told, because a walk holds up every other client; where it stopped is told as
-- a cursor.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, links to walk at most, '1' to leave snapshots aside, number of entities and for each: kind, field in :x, the
--       version already known, the last seq that counts or 0 for all, '1' if only its last event is wanted, seq to go on from or ''
--       to start. Of a read mark the last events are given until those before cannot tell more: a receipt may come after a later
--       message of the same user
-- Reply {head, history of the server's data, for each entity: {version, seq to go on from or 0, version of the snapshot or 0, snapshot, seq,
--       event, seq, event, … newest first}}, or {-1} if the partition belongs to another log. With a last seq that counts, the version is that
--       of the first event given, or 0. A command has no events: its entry in :x stands in the place of the snapshot.

local SEGMENT, SNAPSHOT = 1024, 256

local log_id, chat, budget, whole, entities = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
if redis.call('GET', KEYS[1]) ~= log_id then return {-1} end

local base = string.sub(KEYS[1], 1, -3) .. chat
local head = redis.call('HGET', base .. ':x', ' ')
local told = redis.pcall('INFO', 'replication')
local reply = {tonumber(string.match(head or '0', '^%d+')), type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''}

-- The version of an entity and how many events it has.
local function version_of(field)
  local value = redis.call('HGET', base .. ':x', field)
  if not value then return 0, 0, '' end
  local version, events = string.match(value, '^(%d+):?(%d*)')
  return tonumber(version or 0), tonumber(events) or 1, value
end

for e = 1, entities do
  local at = 5 + (e - 1) * 6
  local kind, field, known, last, latest, from = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5] == '1', ARGV[at + 6]
  local version, events, entry = version_of(field)
  local entity = {version, 0, 0, ''}
  if kind == 'k' then
    entity[4], known = entry, version
  elseif events >= SNAPSHOT and not whole and not latest and known < version and from == '' then
    local at = tonumber(redis.call('HGET', base .. ':s', field) or 0) or 0
    if at > known and at <= version and (last == 0 or at <= last) then
      entity[3], entity[4], known = at, redis.call('HGET', base .. ':s', '=' .. field) or '', at
    end
  end
  local seq, told = from == '' and version or tonumber(from), 0
  while seq > known do
    if budget == 0 then
      entity[2] = seq
      break
    end
    budget = budget - 1
    local here, event = seq, redis.call('LINDEX', base .. ':' .. math.floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT) or ''
    seq = tonumber(string.match(event, '^[^{]*' .. kind .. '(%d+)') or 0)
    if last == 0 or here <= last then
      entity[#entity + 1] = here
      entity[#entity + 1] = event
      if latest then
        local mark = kind == 'r' and tonumber(string.match(event, '"readSeq":(%d+)') or here) or here
        if mark > told then told = mark end
        if seq <= told then break end
      end
    end
  end
  reply[e + 2] = entity
end

return reply
