-- Appends the events of a batch of commands, each command wholly or not at all.
--
-- Phase 1 reads every key that phase 2 writes: it checks types and conditions and plays earlier commands of the batch through Lua
-- tables. Phase 2 only writes. So nothing can fail between two writes but the server itself: a wrong type, a key that
-- left for another node and a full memory all show before the first write.
--
-- A batch whose answer was lost is sent again under the same token. That leaves a fence, so that the first sending, should it still be on
-- its way, finds it and does nothing.
--
-- KEYS  for each partition of the batch: its id key, its delivery stream
-- ARGV  log id; token of the batch; '1' if it is sent again; number of commands; then for each command:
--       partition (from 1), chat as in keys, chat, typing key or '', channel and payload of the typing's end,
--       number of conditions and for each: kind, id, version;
--       number of events and for each: event id, channel or '' for no announcement, metadata, JSON up to the seq, JSON after the
--       ordinal, 1 if it is a message, id of the message it deletes or '', number of moves and for each: kind, id
-- Reply a line for each command, in their order, or one line that begins with a minus for the whole batch:
--       0 FIRST LAST ORDINAL [EVENT.MOVE …]  appended now, or found to have been appended before; EVENT.MOVE (from 1) is an entity
--                                            whose events have become a multiple of 256
--       1 CONDITION VERSION                  conflict; CONDITION from 1
--       2 WHAT                               the chat's keys contradict each other, or hold something else
--       3                                    whether an earlier sending was appended cannot be told
--       -1 PARTITION                         the partition belongs to another log
--       -2                                   the batch was sent again before this sending arrived

local SEGMENT, FIND, SNAPSHOT = 1024, 8192, 256
local call, pcall = redis.call, redis.pcall
local floor, format, match, concat = math.floor, string.format, string.match, table.concat

local log_id, token, again, commands = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])

local prefixes = {}
for p = 1, #KEYS, 2 do
  if call('GET', KEYS[p]) ~= log_id then return '-1 ' .. (p + 1) / 2 end
  prefixes[(p + 1) / 2] = string.sub(KEYS[p], 1, -3)
end
local fence = prefixes[1] .. 'fence:' .. token
if call('EXISTS', fence) == 1 and not again then return '-2' end

local fault -- what a read of the present command ran into
local function read(...)
  local reply = pcall(...)
  if type(reply) == 'table' and reply.err then
    fault = fault or reply.err
    return false
  end
  return reply
end

-- An entry of an index is VERSION or VERSION:EVENTS; that of a message FIRST, FIRST:VERSION:EVENTS or
-- FIRST:VERSION:EVENTS:REACTIONS:EVENTS, where what is left out is as of one event, or none.
local function parse_plain(value)
  if not value then return {version = 0, events = 0} end
  local version, events = match(value, '^(%d+):?(%d*)$')
  if not version then fault = fault or 'the index is unreadable' end
  return {version = tonumber(version), events = tonumber(events) or 1}
end

local function parse_message(value)
  if not value then return {first = 0, version = 0, events = 0, reactions = 0, reacted = 0} end
  local first, version, events, reactions, reacted = match(value, '^(%d+):?(%d*):?(%d*):?(%d*):?(%d*)$')
  if not first then fault = fault or 'the index is unreadable' end
  first = tonumber(first)
  return {first = first, version = tonumber(version) or first, events = tonumber(events) or (first == 0 and 0 or 1), reactions = tonumber(reactions) or 0, reacted = tonumber(reacted) or 0}
end

local function write_plain(entry)
  if entry.events < 2 then return format('%d', entry.version) end
  return format('%d:%d', entry.version, entry.events)
end

local function write_message(entry)
  if entry.reacted > 0 then return format('%d:%d:%d:%d:%d', entry.first, entry.version, entry.events, entry.reactions, entry.reacted) end
  if entry.events > 1 then return format('%d:%d:%d', entry.first, entry.version, entry.events) end
  return format('%d', entry.first)
end

-- Read marks and commands count no events: nobody walks them.
local function counted(kind) return kind ~= 'r' and kind ~= 'k' end

-- chats holds what the commands so far leave behind: head, ordinal, entries of the indexes by field, and what is to be written.
local chats, order, streams = {}, {}, {}

local function place(chat, kind, id)
  if kind == 'u' then return chat.u, id end
  if kind == 'm' or kind == 'x' then return chat.m, id end
  if kind == 'c' then return chat.x, 'c' end
  return chat.x, kind .. id
end

local function entry_of(chat, kind, id)
  local index, field = place(chat, kind, id)
  return index[field]
end

local function version_of(chat, kind, id)
  local entry = entry_of(chat, kind, id)
  if kind == 'x' then return entry.reactions end
  return entry.version
end

-- The entries of one hash that are not known yet, in one read.
local function fetch(chat, suffix, index, fields, parse)
  if #fields == 0 then return end
  local values = read('HMGET', chat.base .. suffix, unpack(fields))
  for f, field in ipairs(fields) do
    if fault then index[field] = nil else index[field] = parse(values[f]) end
  end
end

local function note(chat, lists, kind, id)
  local index, field = place(chat, kind, id)
  if index[field] == nil then
    index[field] = false
    local list = index == chat.x and lists.x or index == chat.u and lists.u or lists.m
    list[#list + 1] = field
  end
end

local function touch_segment(chat, segment)
  if chat.segments[segment] then return end
  local length = read('LLEN', chat.base .. ':' .. segment)
  if fault then return end
  local expected = math.max(0, math.min(SEGMENT, chat.stored - segment * SEGMENT))
  if length ~= expected then
    fault = 'the last segment does not end at the head'
    return
  end
  chat.segments[segment] = true
end

-- Reads all that a command looks at or writes, in as few calls as there are hashes.
local function open(command)
  local base = prefixes[command.partition] .. command.escaped
  local chat = chats[base]
  local lists = {x = {}, u = {}, m = {}}
  if not chat then
    chat = {base = base, x = {}, u = {}, m = {}, segments = {}, pushes = {}, dirty = {[':x'] = {}, [':u'] = {}, [':m'] = {}}, deleted = {}}
    lists.x[1] = '#'
  end
  local a = command.conditions_at
  for _ = 1, command.conditions do
    note(chat, lists, ARGV[a + 1], ARGV[a + 2])
    a = a + 3
  end
  local deletes = false
  for _, e in ipairs(command.events) do
    if ARGV[e + 7] ~= '' then
      note(chat, lists, 'm', ARGV[e + 7])
      deletes = true
    end
    for m = e + 9, e + 7 + 2 * tonumber(ARGV[e + 8]), 2 do note(chat, lists, ARGV[m], ARGV[m + 1]) end
  end
  local head = lists.x[1] == '#'
  if head then chat.x['#'] = nil end
  if #lists.x > 0 then
    local values = read('HMGET', base .. ':x', unpack(lists.x))
    for f, field in ipairs(lists.x) do
      if fault then
        chat.x[field] = nil
      elseif field == '#' then
        local seq, ordinal = match(values[f] or '0:0', '^(%d+):(%d+)$')
        chat.seq, chat.ordinal = tonumber(seq), tonumber(ordinal)
        chat.stored = chat.seq
        if not seq then fault = 'the head is unreadable' end
      else
        chat.x[field] = parse_plain(values[f])
      end
    end
  end
  fetch(chat, ':u', chat.u, lists.u, parse_plain)
  fetch(chat, ':m', chat.m, lists.m, parse_message)
  if deletes then read('ZCARD', base .. ':d') end
  if fault then return chat end
  if chat.stored > 0 then touch_segment(chat, floor((chat.stored - 1) / SEGMENT)) end
  if chat.stored == 0 then read('SISMEMBER', prefixes[command.partition] .. 'chats', '') end
  if not fault and not chats[base] then chats[base] = chat end
  return chat
end

local function element(chat, seq)
  return read('LINDEX', chat.base .. ':' .. floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT) or ''
end

-- Where an earlier sending of the same batch put an event: 0 if it did not, nil if that cannot be told. The entity that the event moves
-- leads there.
local function find(chat, e)
  if tonumber(ARGV[e + 8]) == 0 then return 0 end
  local kind, id = ARGV[e + 9], ARGV[e + 10]
  local needle = '"eventId":"' .. ARGV[e + 1] .. '"'
  local seq = version_of(chat, kind, id)
  for _ = 1, FIND do
    if seq == 0 or seq > chat.stored then return 0 end
    local stored = element(chat, seq)
    if string.find(stored, needle, 1, true) then return seq end
    seq = tonumber(match(stored, '^[^{]*' .. kind .. '(%d+)') or 0)
  end
  return nil
end

-- The command after the place a in ARGV, and the place after it.
local function take(a)
  local command = {partition = tonumber(ARGV[a + 1]), escaped = ARGV[a + 2], name = ARGV[a + 3], typing = ARGV[a + 4], at = a, conditions = tonumber(ARGV[a + 7]), conditions_at = a + 7, events = {}}
  a = a + 8 + 3 * command.conditions
  for e = 1, tonumber(ARGV[a]) do
    command.events[e] = a
    a = a + 8 + 2 * tonumber(ARGV[a + 8])
  end
  return command, a
end

local operations = {} -- on streams and channels, in order

-- Plans one command: its outcome, and what it writes if it is to be appended.
local function plan(command)
  fault = nil
  local chat = open(command)
  if fault then return '2 ' .. fault end
  if again then
    local first = find(chat, command.events[1])
    if not first then return '3' end
    if first > 0 then
      local last = first + #command.events - 1
      return format('0 %d %d %d', first, last, tonumber(match(element(chat, last), '"ordinal":(%d+)') or 0))
    end
  end
  local a = command.conditions_at
  for c = 1, command.conditions do
    local version = version_of(chat, ARGV[a + 1], ARGV[a + 2])
    if version ~= tonumber(ARGV[a + 3]) then return format('1 %d %d', c, version) end
    a = a + 3
  end
  for segment = floor(chat.seq / SEGMENT), floor((chat.seq + #command.events - 1) / SEGMENT) do touch_segment(chat, segment) end
  local stream = KEYS[command.partition * 2]
  if not streams[stream] then
    read('XLEN', stream)
    streams[stream] = not fault
  end
  local typing = command.typing ~= '' and read('EXISTS', command.typing) == 1
  if fault then return '2 ' .. fault end

  if #chat.pushes == 0 then
    order[#order + 1] = chat
    if chat.seq == 0 then chat.created, chat.name, chat.partition = true, command.name, command.partition end
  end
  local first, due = chat.seq + 1, ''
  for number, e in ipairs(command.events) do
    local number_seq = chat.seq + 1
    chat.seq, chat.ordinal = number_seq, chat.ordinal + tonumber(ARGV[e + 6])
    local links = ''
    local moves = tonumber(ARGV[e + 8])
    for m = 1, moves do
      local kind, id = ARGV[e + 7 + 2 * m], ARGV[e + 8 + 2 * m]
      local index, field = place(chat, kind, id)
      local entry = index[field]
      local events
      if kind == 'x' then
        links = links .. format('x%d', entry.reactions)
        entry.reactions, entry.reacted = number_seq, entry.reacted + 1
        events = entry.reacted
      else
        links = links .. kind .. format('%d', entry.version)
        entry.version = number_seq
        if counted(kind) then entry.events = entry.events + 1 else entry.events = 1 end
        events = entry.events
      end
      if index == chat.m then
        if entry.first == 0 then entry.first = number_seq end
        chat.dirty[':m'][field] = entry
      else
        chat.dirty[index == chat.u and ':u' or ':x'][field] = entry
      end
      if events % SNAPSHOT == 0 then due = due .. format(' %d.%d', number, m) end
    end
    if ARGV[e + 7] ~= '' then chat.deleted[#chat.deleted + 1] = chat.m[ARGV[e + 7]].first end
    local seq = format('%d', number_seq)
    local json = ARGV[e + 4] .. seq .. ',"ordinal":' .. format('%d', chat.ordinal) .. ARGV[e + 5]
    local segment = floor((number_seq - 1) / SEGMENT)
    local push = chat.pushes[#chat.pushes]
    if not push or push.segment ~= segment or #push.values == 1000 then
      push = {segment = segment, values = {}}
      chat.pushes[#chat.pushes + 1] = push
    end
    push.values[#push.values + 1] = links .. json
    operations[#operations + 1] = {stream = stream, e = e, name = command.name, seq = seq, json = json}
  end
  if typing then operations[#operations + 1] = {typing = command.typing, at = command.at} end
  return format('0 %d %d %d', first, chat.seq, chat.ordinal) .. due
end

local outcomes, at = {}, 4
for c = 1, commands do
  local command
  command, at = take(at)
  local outcome = plan(command)
  if string.sub(outcome, 1, 1) == '2' and not string.find(outcome, 'WRONGTYPE', 1, true) and not string.find(outcome, '^2 the ') then
    return redis.error_reply(string.sub(outcome, 3)) -- the server's trouble, not this chat's: the whole batch waits
  end
  outcomes[c] = outcome
end

local function flush(key, index, write, extra)
  local values = extra or {}
  for field, entry in pairs(index) do
    local n = #values
    values[n + 1], values[n + 2] = field, write(entry)
  end
  for from = 1, #values, 4000 do call('HSET', key, unpack(values, from, math.min(#values, from + 3999))) end
end

if again then call('SET', fence, '1', 'EX', 600) end
for _, chat in ipairs(order) do
  for _, push in ipairs(chat.pushes) do call('RPUSH', chat.base .. ':' .. push.segment, unpack(push.values)) end
  flush(chat.base .. ':x', chat.dirty[':x'], write_plain, {'#', format('%d:%d', chat.seq, chat.ordinal)})
  flush(chat.base .. ':u', chat.dirty[':u'], write_plain)
  flush(chat.base .. ':m', chat.dirty[':m'], write_message)
  for _, first in ipairs(chat.deleted) do call('ZADD', chat.base .. ':d', first, first) end
  if chat.created then call('SADD', prefixes[chat.partition] .. 'chats', chat.name) end
end
for _, o in ipairs(operations) do
  if o.stream then
    local e = o.e
    call('XADD', o.stream, '*', '_watermill_message_uuid', ARGV[e + 1], 'metadata', ARGV[e + 3], 'payload', o.json, 'chat', o.name, 'seq', o.seq)
    if ARGV[e + 2] ~= '' then call('PUBLISH', ARGV[e + 2], o.json) end
  else
    call('DEL', o.typing)
    call('PUBLISH', ARGV[o.at + 5], ARGV[o.at + 6])
  end
end

return concat(outcomes, '\n')
