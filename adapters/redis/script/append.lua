-- Appends the events of a batch of commands, each command wholly or not at all.
--
-- Phase 1 reads every key that phase 2 writes: it checks types and conditions and plays earlier commands of the batch through Lua
-- tables. Phase 2 only writes. So nothing can fail between two writes but the server itself: a wrong type, a key that
-- left for another node and a full memory all show before the first write.
--
-- KEYS  for each partition of the batch: its id key, its delivery stream
-- ARGV  log id; '1' if the batch is sent again after a lost answer; number of commands; then for each command:
--       partition (from 1), chat as in keys, chat, typing key or '', channel and payload of the typing's end,
--       number of conditions and for each: kind, id, version;
--       number of events and for each: event id, channel or '' for no announcement, metadata, JSON up to the seq, JSON after the
--       ordinal, 1 if it is a message, id of the message it deletes or '', number of moves and for each: kind, id
-- Reply {0, outcome…} in the order of the commands, or {1, partition} if that partition belongs to another log. An outcome is
--       {0, first seq, last seq, ordinal}  appended now, or found to have been appended before
--       {1, condition (from 1), version}   conflict
--       {2, what}                          the chat's keys contradict each other, or hold something else

local SEGMENT, WALK = 1024, 256
local HASH = {c = ':x', r = ':x', k = ':x', u = ':u', m = ':m', x = ':m'}

local log_id, again, commands = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local arg = 3
local function take()
  arg = arg + 1
  return ARGV[arg]
end

for p = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[p]) ~= log_id then return {1, (p + 1) / 2} end
end

local fault -- what a read of the present command ran into
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    fault = fault or reply.err
    return false
  end
  return reply
end

local function parse_triple(value)
  local first, version, reactions = string.match(value or '', '^(%d+):(%d+):(%d+)$')
  return {first = tonumber(first or 0), version = tonumber(version or 0), reactions = tonumber(reactions or 0)}
end

-- chats holds what the commands so far leave behind: head, ordinal, and per hash the fields read or written.
local chats, streams = {}, {}
local function field_of(kind, id)
  if kind == 'c' then return 'c' end
  if kind == 'r' or kind == 'k' then return kind .. id end
  return id
end

local function entry_of(chat, kind, id)
  local hash, field = HASH[kind], field_of(kind, id)
  local entry = chat.fields[hash][field]
  if entry == nil then
    local value = read('HGET', chat.base .. hash, field)
    if hash == ':m' then entry = parse_triple(value) else entry = {version = tonumber(value or 0) or 0} end
    if not fault then chat.fields[hash][field] = entry end
  end
  return entry
end

local function version_of(chat, kind, id)
  local entry = entry_of(chat, kind, id)
  if kind == 'x' then return entry.reactions end
  return entry.version
end

local function segment_of(seq) return math.floor((seq - 1) / SEGMENT) end

local function chat_at(partition, escaped)
  local base = string.sub(KEYS[partition * 2 - 1], 1, -3) .. escaped
  local chat = chats[base]
  if chat then return chat end
  chat = {base = base, fields = {[':x'] = {}, [':u'] = {}, [':m'] = {}}}
  local seq, ordinal = string.match(read('HGET', base .. ':x', '#') or '0:0', '^(%d+):(%d+)$')
  chat.seq, chat.ordinal = tonumber(seq or 0), tonumber(ordinal or 0)
  if not seq then fault = fault or 'the head is unreadable' end
  local tail = chat.seq == 0 and 0 or segment_of(chat.seq)
  local length = read('LLEN', base .. ':' .. tail)
  if not fault and length ~= chat.seq - tail * SEGMENT then fault = 'the last segment does not end at the head' end
  if segment_of(chat.seq + 1) ~= tail then read('LLEN', base .. ':' .. (tail + 1)) end
  if chat.seq == 0 then read('SISMEMBER', string.sub(KEYS[partition * 2 - 1], 1, -3) .. 'chats', '') end
  if not fault then chats[base] = chat end
  return chat
end

local function element(chat, seq)
  return read('LINDEX', chat.base .. ':' .. segment_of(seq), (seq - 1) % SEGMENT) or ''
end

-- Where an earlier sending of the same batch put an event, if it did: the entity that the event moves leads there.
local function find(chat, event)
  local kind, id = event.moves[1], event.moves[2]
  if not kind then return nil end
  local needle = '"eventId":"' .. event.id .. '"'
  local seq = version_of(chat, kind, id)
  for _ = 1, WALK do
    if seq == 0 then return nil end
    local stored = element(chat, seq)
    if string.find(stored, needle, 1, true) then return seq end
    seq = tonumber(string.match(stored, '^[^{]*' .. kind .. '(%d+)') or 0)
  end
  return nil
end

local function take_command()
  local command = {
    partition = tonumber(take()), escaped = take(), name = take(),
    typing = take(), typing_channel = take(), typing_payload = take(), conditions = {}, events = {},
  }
  for c = 1, tonumber(take()) do
    command.conditions[c] = {kind = take(), id = take(), version = tonumber(take())}
  end
  for e = 1, tonumber(take()) do
    local event = {id = take(), channel = take(), metadata = take(), head = take(), tail = take(), counts = tonumber(take()), deletes = take(), moves = {}}
    for m = 1, tonumber(take()) * 2 do event.moves[m] = take() end
    command.events[e] = event
  end
  return command
end

-- Plans one command: its outcome, and the writes if it is to be appended.
local function plan(command)
  fault = nil
  local chat = chat_at(command.partition, command.escaped)
  if fault then return {2, fault} end
  if again then
    local first = find(chat, command.events[1])
    if first then
      local last = first + #command.events - 1
      return {0, first, last, tonumber(string.match(element(chat, last), '"ordinal":(%d+)') or 0)}
    end
  end
  for c, condition in ipairs(command.conditions) do
    local version = version_of(chat, condition.kind, condition.id)
    if version ~= condition.version and not fault then return {1, c, version} end
  end
  local stream = KEYS[command.partition * 2]
  if not streams[stream] then
    read('XLEN', stream)
    streams[stream] = not fault
  end
  local typing = command.typing ~= '' and read('EXISTS', command.typing) == 1
  for _, event in ipairs(command.events) do
    for m = 1, #event.moves, 2 do entry_of(chat, event.moves[m], event.moves[m + 1]) end
    if event.deletes ~= '' then
      entry_of(chat, 'm', event.deletes)
      read('ZCARD', chat.base .. ':d')
    end
  end
  if fault then return {2, fault} end

  local writes = {chat = chat, command = command, typing = typing, created = chat.seq == 0, entries = {}, sets = {[':x'] = {}, [':u'] = {}, [':m'] = {}}, deleted = {}}
  local first = chat.seq + 1
  for e, event in ipairs(command.events) do
    chat.seq, chat.ordinal = chat.seq + 1, chat.ordinal + event.counts
    local links = {}
    for m = 1, #event.moves, 2 do
      local kind, id = event.moves[m], event.moves[m + 1]
      local entry = entry_of(chat, kind, id)
      links[#links + 1] = kind .. string.format('%d', kind == 'x' and entry.reactions or entry.version)
      if kind == 'x' then entry.reactions = chat.seq else entry.version = chat.seq end
      if HASH[kind] == ':m' and entry.first == 0 then entry.first = chat.seq end
      writes.sets[HASH[kind]][field_of(kind, id)] = entry
    end
    if event.deletes ~= '' then writes.deleted[#writes.deleted + 1] = entry_of(chat, 'm', event.deletes).first end
    writes.entries[e] = {event = event, seq = chat.seq, ordinal = chat.ordinal, links = table.concat(links)}
  end
  writes.head = string.format('%d:%d', chat.seq, chat.ordinal)
  return {0, first, chat.seq, chat.ordinal}, writes
end

local outcomes, plans = {0}, {}
for c = 1, commands do
  local outcome, writes = plan(take_command())
  if outcome[1] == 2 and not string.find(outcome[2], 'WRONGTYPE') and not string.find(outcome[2], '^the ') then
    return redis.error_reply(outcome[2]) -- the server's trouble, not this chat's: the whole batch waits
  end
  outcomes[c + 1] = outcome
  plans[#plans + 1] = writes
end

for _, writes in ipairs(plans) do
  local chat, command = writes.chat, writes.command
  local partition, stream = string.sub(KEYS[command.partition * 2 - 1], 1, -3), KEYS[command.partition * 2]
  for _, entry in ipairs(writes.entries) do
    local event = entry.event
    local seq = string.format('%d', entry.seq)
    local json = event.head .. seq .. ',"ordinal":' .. string.format('%d', entry.ordinal) .. event.tail
    redis.call('RPUSH', chat.base .. ':' .. segment_of(entry.seq), entry.links .. json)
    redis.call('XADD', stream, '*', '_watermill_message_uuid', event.id, 'metadata', event.metadata, 'payload', json, 'chat', command.name, 'seq', seq)
    if event.channel ~= '' then redis.call('PUBLISH', event.channel, json) end
  end
  for hash, fields in pairs(writes.sets) do
    local values = {}
    for field, entry in pairs(fields) do
      values[#values + 1] = field
      if hash == ':m' then
        values[#values + 1] = string.format('%d:%d:%d', entry.first, entry.version, entry.reactions)
      else
        values[#values + 1] = string.format('%d', entry.version)
      end
    end
    if hash == ':x' then
      values[#values + 1] = '#'
      values[#values + 1] = writes.head
    end
    if #values > 0 then redis.call('HSET', chat.base .. hash, unpack(values)) end
  end
  for _, first in ipairs(writes.deleted) do redis.call('ZADD', chat.base .. ':d', first, first) end
  if writes.created then redis.call('SADD', partition .. 'chats', command.name) end
  if writes.typing then
    redis.call('DEL', command.typing)
    redis.call('PUBLISH', command.typing_channel, command.typing_payload)
  end
end

return outcomes
