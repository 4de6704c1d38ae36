-- Loads entities of one chat: for each its version, and the events that moved it, by walking back through their links to the start or to a snapshot.
-- A call walks a bounded number of links, because a walk blocks every other client. If it stops early, it returns a cursor. The walk to a last seq
-- that is many events of the entity back is shortened by skip.lua.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, maximum number of links to walk, '1' to ignore snapshots, number of entities and for each: kind, field in :x, the
--       version already known, the last seq that counts or 0 for all, '1' for only its last event, or '2' for reactions without the events that a
--       later removal of the same reaction undoes, seq to continue from or '' to start, maximum number of events or 0 for all. For a read mark, the
--       last events are returned until earlier ones cannot have a higher mark: a receipt may follow a later message of the same user
-- Reply {head, history of the server's data, for each entity: {version, seq to continue from or 0, version of the snapshot or 0, snapshot, number of
--       undone events, seq, event, seq, event, … newest first}}, or {-1} if the partition belongs to another log. With a last seq that counts, the
--       version is that of the first event returned, or 0. A command has no events: its entry in :x replaces the snapshot. {-2, seq, cause} if a key
--       or an event of the chat is missing at that seq. A negative seq to continue from means that the maximum number of events was reached

local SNAPSHOT, WALK = 256, 16 -- WALK links are followed before skip may shorten the rest

local log_id, chat, budget, whole, entities = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
if call('GET', KEYS[1]) ~= log_id then return {-1} end

local prefix = string.sub(KEYS[1], 1, -3)
local base = prefix .. chat
local head, missing = head_of(prefix, chat)
if not head then return {-2, 0, missing} end
local told = redis.pcall('INFO', 'replication')
local reply = {head, type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''}

-- The entries of all entities, by field. unpack takes a bounded number of values.
local entries, TOGETHER = {}, 1000
for from = 1, entities, TOGETHER do
  local fields = {}
  for e = from, math.min(entities, from + TOGETHER - 1) do fields[#fields + 1] = ARGV[7 + (e - 1) * 7] end
  for i, value in ipairs(call('HMGET', base .. ':x', unpack(fields))) do entries[fields[i]] = value end
end

-- entry_of returns the version of an entity, its number of events, the seq of the first one (nil if that is not stored), and the entry. Without an
-- entry, no event has moved the entity. It returns nil and the fault if another key contradicts that.
local function entry_of(kind, field)
  local value = entries[field]
  if value then
    local version, events, first = string.match(value, '^(%d+):?(%d*):?(%d*)')
    version = tonumber(version)
    if not version or version > head then return nil, 'the index entry is unreadable or ahead of the head' end
    if kind == 'r' then return version, version > 0 and 1 or 0, nil, value end -- the rest is the read mark's base
    if first ~= '' and kind ~= 'k' then return version, tonumber(events), tonumber(first), value end
    return version, 1, nil, value
  end
  if kind == 'u' and head > 0 and call('HEXISTS', base .. ':u', string.sub(field, 3)) == 1 then
    return nil, 'the index has no entry of member ' .. string.sub(field, 3)
  end
  return 0, 0, nil, ''
end

-- mark_of returns how far a user had read after an event that moved the read mark: the seq in a receipt, or the event's own seq.
local function mark_of(event, here)
  local ordinal, kind = event_of(event, here)
  if not ordinal then return nil end
  if kind ~= 'read:receipt' then return here end
  return read_seq(event)
end

-- reaction_in returns a reaction, as its user and its emoji, and whether it is removed. It returns nil if the event is not a reaction of version 1.
local function reaction_in(event, here)
  local letter, _, user, _, emoji, removed = ids_of(event)
  if letter then return letter == 'x' and emoji .. ' ' .. user or nil, removed end
  local _, kind = event_of(event, here)
  if kind == 'message:reaction' and string.find(event, '","v":1,"timestamp":"', 1, true) then
    local by, sign, action = string.match(event, ',"userId":"([^{}]*)","emoji":"([^{}]*)","action":"(%a+)"}$')
    if by then return sign .. ' ' .. packed(by), action == 'remove' end
  end
end

for e = 1, entities do
  local at = 5 + (e - 1) * 7
  local kind, field, known, last, form, from = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5], ARGV[at + 6]
  local most = tonumber(ARGV[at + 7])
  local latest, void = form == '1', form == '2' and {}
  local version, events, first, entry = entry_of(kind, field)
  if not version then return {-2, 0, events} end
  local entity = {version, 0, 0, '', 0}
  if kind == 'k' then
    entity[4], known = entry, version
  elseif events >= SNAPSHOT and not whole and not latest and known < version and from == '' then
    local at = tonumber(call('HGET', base .. ':s', field) or 0) or 0
    -- For a caller that lacks few events before the snapshot these are less than the snapshot.
    if at > known and (known == 0 or at - known > SNAPSHOT) and at <= version and (last == 0 or at <= last) then
      entity[3], entity[4], known = at, call('HGET', base .. ':s', '=' .. field) or '', at
    end
  end
  local seq, told = from == '' and version or tonumber(from), 0
  if seq > head then seq = 0 end -- a start from the caller may be beyond the head
  local walked, since, patience = 0, seq, WALK -- links to events that do not count
  while seq > known do
    if most > 0 and #entity == 5 + 2 * most then
      entity[2] = -seq
      break
    end
    if budget <= 0 then
      entity[2] = seq
      break
    end
    if last > 0 and seq > last and walked == patience then
      local spacing = (since - seq) / walked
      local left = (seq - last) / spacing -- about as many links
      if left > 2 * WALK then
        local nearer, steps, fault = skip(base, head, kind, id_of(kind, field), last, seq, spacing)
        if not nearer then return {-2, steps, fault} end
        budget = budget - steps
        patience = (seq - nearer) / spacing > steps and WALK or 2 * patience
        seq = nearer
      end
      walked, since = 0, seq
    end
    walked = walked + 1
    budget = budget - 1
    local segment, index = segment_of(seq)
    missing = incomplete(base, segment, head)
    if missing then return {-2, seq, missing} end
    local here, event = seq, call('LINDEX', base .. ':' .. segment, index)
    seq = tonumber(string.match(event, '^[^{]*' .. kind .. '(%d+)') or 0)
    if seq >= here or seq == 0 and first and here ~= first then return {-2, here, 'the link to the event before is missing'} end
    local reaction, removed
    if void and (last == 0 or here <= last) then reaction, removed = reaction_in(event, here) end
    if reaction and void[reaction] then
      entity[5] = entity[5] + 1
    elseif last == 0 or here <= last then
      if reaction and removed then void[reaction] = true end
      entity[#entity + 1] = here
      entity[#entity + 1] = event
      if latest then
        local mark = here
        if kind == 'r' then mark = mark_of(event, here) end
        if not mark then return {-2, here, 'the entry is not that of an event that moves a read mark'} end
        told = math.max(told, mark)
        if seq <= told then break end
      end
    end
  end
  reply[e + 2] = entity
end

return reply
