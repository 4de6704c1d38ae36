-- Loads entities of one chat: for each its version, and the events that moved it by walking back through their links. A call walks at
-- most as many links as it is told, because a walk holds up every other client; where it stopped is told as a cursor.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, links to walk at most, number of entities and for each: kind, id, the version already known,
--       '1' if only its last event is wanted, seq to go on from or '' to start
-- Reply {head, for each entity: {version, seq to go on from or 0, seq, event, seq, event, … newest first}}, or {-1} if the partition
--       belongs to another log

local SEGMENT = 1024
local HASH = {c = ':x', r = ':x', k = ':x', u = ':u', m = ':m', x = ':m'}

local log_id, chat, budget, entities = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('GET', KEYS[1]) ~= log_id then return {-1} end

local base = string.sub(KEYS[1], 1, -3) .. chat
local head = redis.call('HGET', base .. ':x', '#')
local reply = {tonumber(string.match(head or '0', '^%d+'))}

local function version_of(kind, id)
  local field = id
  if kind == 'c' then field = 'c' elseif kind == 'r' or kind == 'k' then field = kind .. id end
  local value = redis.call('HGET', base .. HASH[kind], field)
  if not value then return 0 end
  if HASH[kind] ~= ':m' then return tonumber(value) end
  local version, reactions = string.match(value, ':(%d+):(%d+)$')
  return tonumber(kind == 'x' and reactions or version)
end

for e = 1, entities do
  local at = 4 + (e - 1) * 5
  local kind, id, known, latest, from = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4] == '1', ARGV[at + 5]
  local version = version_of(kind, id)
  local entity = {version, 0}
  local seq = from == '' and version or tonumber(from)
  while seq > known do
    if budget == 0 then
      entity[2] = seq
      break
    end
    budget = budget - 1
    local event = redis.call('LINDEX', base .. ':' .. math.floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT) or ''
    entity[#entity + 1] = seq
    entity[#entity + 1] = event
    if latest then break end
    seq = tonumber(string.match(event, '^[^{]*' .. kind .. '(%d+)') or 0)
  end
  reply[e + 1] = entity
end

return reply
