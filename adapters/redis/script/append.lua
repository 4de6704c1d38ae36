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
-- ARGV  log id; token of the batch; '1' if it is sent again; channel of a typing's end; number of commands; then for each command:
--       partition (from 1), chat, chat as in keys or '' if that is the same, typing key or '', payload of the typing's end;
--       the fields it looks at in the hashes :x and :u, for each hash: their number, the fields, for each the version it must have or '';
--       the same for :m, with a second list of versions for the reactions;
--       number of events and for each: event id, channel or '' for no announcement, metadata, JSON up to the seq, JSON after the
--       ordinal, '+' if it is a message, the place (from 1) among the fields of :m of the message it deletes, or ''; number of moves and
--       for each: kind, place of its field in its hash
-- Reply a line for each command, in their order, or one line that begins with a minus for the whole batch:
--       0 FIRST LAST ORDINAL [EVENT.MOVE …]  appended now, or found to have been appended before; EVENT.MOVE (from 1) is an entity
--                                            whose events have become a multiple of 256
--       1 HASH PLACE VERSION                 conflict; HASH is x, u, m, or r for reactions, PLACE that of the field, from 1
--       2 WHAT                               the chat's keys contradict each other, or hold something else
--       3                                    whether an earlier sending was appended cannot be told
--       -1 PARTITION                         the partition belongs to another log
--       -2                                   the batch was sent again before this sending arrived
--
-- An entry of :x or :u is VERSION or VERSION:EVENTS; one of :m is FIRST, FIRST:VERSION:EVENTS or
-- FIRST:VERSION:EVENTS:REACTIONS:EVENTS, where what is left out is as of one event, or none.

local SEGMENT, FIND, SNAPSHOT = 1024, 8192, 256
local ARGV, KEYS, call, pcall, unpack, tonumber, type = ARGV, KEYS, redis.call, redis.pcall, unpack, tonumber, type
local floor, format, match, concat, sub, plain = math.floor, string.format, string.match, table.concat, string.sub, string.find

local log_id, again, commands = ARGV[1], ARGV[3] == '1', tonumber(ARGV[5])

local prefixes = {}
for p = 1, #KEYS, 2 do
  if call('GET', KEYS[p]) ~= log_id then return '-1 ' .. (p + 1) / 2 end
  prefixes[(p + 1) / 2] = sub(KEYS[p], 1, -3)
end
local fence = prefixes[1] .. 'fence:' .. ARGV[2]
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

-- The version in an entry of :x or :u, as text.
local function version_in(entry)
  if not entry then return '0' end
  if tonumber(entry) then return entry end
  local version = match(entry, '^(%d+):%d+$')
  if not version then fault = fault or 'the index is unreadable' end
  return version or '0'
end

-- Version and reactions in an entry of :m, as text.
local function message_in(entry)
  if not entry then return '0', '0' end
  if tonumber(entry) then return entry, '0' end
  local version, reactions = match(entry, '^%d+:(%d+):%d+:?(%d*)')
  if not version then fault = fault or 'the index is unreadable' end
  return version or '0', (reactions == '' or not reactions) and '0' or reactions
end

-- chats holds what the commands so far leave behind: seq, ordinal, x, u and m with the entries to be written, pushes to segments.
local chats, order, streams = {}, {}, {}

local function touch_segment(chat, segment)
  local length = read('LLEN', chat.base .. ':' .. segment)
  if fault then return end
  local expected = chat.stored - segment * SEGMENT
  if expected < 0 then expected = 0 elseif expected > SEGMENT then expected = SEGMENT end
  if length ~= expected then
    fault = 'the last segment does not end at the head'
    return
  end
  chat.touched = segment
end

local function chat_of(base, head)
  local chat = chats[base]
  if chat then return chat end
  chat = {base = base, seq = 0, ordinal = 0, stored = 0, touched = -1}
  if head then
    local seq, ordinal = match(head, '^(%d+):(%d+)$')
    if not seq then
      fault = fault or 'the head is unreadable'
      return chat
    end
    chat.seq, chat.ordinal = tonumber(seq), tonumber(ordinal)
    chat.stored = chat.seq
  end
  if chat.stored > 0 then touch_segment(chat, floor((chat.stored - 1) / SEGMENT)) end
  if not fault then chats[base] = chat end
  return chat
end

local function element(chat, seq)
  return read('LINDEX', chat.base .. ':' .. floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT) or ''
end

-- Where an earlier sending of the same batch put an event: 0 if it did not, nil if that cannot be told. An entity that the event moves
-- leads there, from the given version on.
local function find(chat, event, kind, version)
  local needle = '"eventId":"' .. event .. '"'
  local seq = tonumber(version)
  for _ = 1, FIND do
    if seq == 0 or seq > chat.stored then return 0 end
    local stored = element(chat, seq)
    if plain(stored, needle, 1, true) then return seq end
    seq = tonumber(match(stored, '^[^{]*' .. kind .. '(%d+)') or 0)
  end
  return nil
end

-- The place after an event at e in ARGV.
local function after(e) return e + 7 + 2 * tonumber(ARGV[e + 6]) end

local operations, n_operations = {}, 0 -- on streams and channels, in order: stream or false, then what it takes

-- Plans the command at a in ARGV: its outcome, and what it writes if it is to be appended. at is left behind the command.
local at
local function plan(a)
  fault = nil
  local partition, name, escaped, typing = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local nx = tonumber(ARGV[a + 5])
  local x = a + 5 -- fields at x + 1 …
  local u = x + 1 + 2 * nx
  local nu = tonumber(ARGV[u])
  local m = u + 1 + 2 * nu
  local nm = tonumber(ARGV[m])
  local first_event = m + 2 + 3 * nm
  local events = tonumber(ARGV[first_event - 1])
  at = first_event
  for _ = 1, events do at = after(at) end

  local prefix = prefixes[partition]
  local base = prefix .. (escaped == '' and name or escaped)
  local xs = read('HMGET', base .. ':x', '#', unpack(ARGV, x + 1, x + nx))
  local us = nu > 0 and read('HMGET', base .. ':u', unpack(ARGV, u + 1, u + nu)) or xs
  local ms = nm > 0 and read('HMGET', base .. ':m', unpack(ARGV, m + 1, m + nm)) or xs
  if fault then return '2 ' .. fault end
  local chat = chat_of(base, xs[1])
  if fault then return '2 ' .. fault end
  if chat.x then -- an earlier command of the batch writes
    for i = 1, nx do xs[i + 1] = chat.x[ARGV[x + i]] or xs[i + 1] end
    if nu > 0 and chat.u then for i = 1, nu do us[i] = chat.u[ARGV[u + i]] or us[i] end end
    if nm > 0 and chat.m then for i = 1, nm do ms[i] = chat.m[ARGV[m + i]] or ms[i] end end
  end

  if again then
    local e = first_event
    local found = 0
    if ARGV[e + 6] ~= '0' then
      local kind, i = ARGV[e + 7], tonumber(ARGV[e + 8])
      local version
      if kind == 'u' then
        version = version_in(us[i])
      elseif kind == 'm' then
        version = message_in(ms[i])
      elseif kind == 'x' then
        local _, reactions = message_in(ms[i])
        version = reactions
      else
        version = version_in(xs[i + 1])
      end
      found = find(chat, ARGV[e], kind, version)
    end
    if not found then return '3' end
    if found > 0 then
      local last = found + events - 1
      return format('0 %d %d %d', found, last, tonumber(match(element(chat, last), '"ordinal":(%d+)') or 0))
    end
  end

  for i = 1, nx do
    local expected = ARGV[x + nx + i]
    if expected ~= '' and (xs[i + 1] or '0') ~= expected then
      local version = version_in(xs[i + 1])
      if version ~= expected and not fault then return '1 x ' .. i .. ' ' .. version end
    end
  end
  for i = 1, nu do
    local expected = ARGV[u + nu + i]
    if expected ~= '' and (us[i] or '0') ~= expected then
      local version = version_in(us[i])
      if version ~= expected and not fault then return '1 u ' .. i .. ' ' .. version end
    end
  end
  for i = 1, nm do
    local expected, reacted = ARGV[m + nm + i], ARGV[m + 2 * nm + i]
    if expected ~= '' and (ms[i] or '0') ~= expected or reacted ~= '' then
      local version, reactions = message_in(ms[i])
      if expected ~= '' and version ~= expected and not fault then return '1 m ' .. i .. ' ' .. version end
      if reacted ~= '' and reactions ~= reacted and not fault then return '1 r ' .. i .. ' ' .. reactions end
    end
  end

  -- The keys that were not read yet and are going to be written.
  for segment = floor(chat.seq / SEGMENT), floor((chat.seq + events - 1) / SEGMENT) do
    if segment > chat.touched then touch_segment(chat, segment) end
  end
  if chat.seq == 0 then read('SISMEMBER', prefix .. 'chats', '') end
  local stream = KEYS[partition * 2]
  if not streams[stream] then
    read('XLEN', stream)
    streams[stream] = not fault
  end
  local was_typing = typing ~= '' and read('EXISTS', typing) == 1
  local e = first_event
  for _ = 1, events do
    local what = ARGV[e + 5]
    if what ~= '' and what ~= '+' then read('ZCARD', base .. ':d') end
    for k = 1, tonumber(ARGV[e + 6]) do -- entries that are more than a version have to be readable
      local kind, i = ARGV[e + 5 + 2 * k], tonumber(ARGV[e + 6 + 2 * k])
      if kind == 'u' then version_in(us[i]) elseif kind == 'm' or kind == 'x' then message_in(ms[i]) else version_in(xs[i + 1]) end
    end
    e = after(e)
  end
  if fault then return '2 ' .. fault end

  if not chat.x then
    order[#order + 1] = chat
    chat.x, chat.u, chat.m = {}, nu > 0 and {}, nm > 0 and {}
    chat.pushes = {}
    if chat.stored == 0 then chat.created, chat.name = prefix .. 'chats', name end
  end
  chat.u, chat.m = chat.u or nu > 0 and {}, chat.m or nm > 0 and {}

  local first, due = chat.seq + 1, ''
  e = first_event
  for number = 1, events do
    local position = chat.seq + 1
    local seq = format('%d', position)
    chat.seq = position
    local what = ARGV[e + 5]
    if what == '+' then chat.ordinal = chat.ordinal + 1 end
    local links = ''
    for k = 1, tonumber(ARGV[e + 6]) do
      local kind, i = ARGV[e + 5 + 2 * k], tonumber(ARGV[e + 6 + 2 * k])
      local count = 1 -- of the entity's events
      if kind == 'm' or kind == 'x' then
        local entry, value = ms[i]
        if not entry then
          if kind == 'm' then
            links, value = links .. 'm0', seq
          else
            links, value = links .. 'x0', format('%d:0:0:%d:1', position, position)
          end
        else
          local start, version, n, reactions, reacted = match(entry, '^(%d+):?(%d*):?(%d*):?(%d*):?(%d*)$')
          if version == '' then version, n = start, '1' end
          if kind == 'm' then
            links, version, count = links .. 'm' .. version, seq, tonumber(n) + 1
            n = format('%d', count)
          else
            links = links .. 'x' .. (reactions == '' and '0' or reactions)
            count = (tonumber(reacted) or 0) + 1
            reactions, reacted = seq, format('%d', count)
          end
          value = start .. ':' .. version .. ':' .. n
          if reactions ~= '' then value = value .. ':' .. reactions .. ':' .. reacted end
        end
        ms[i] = value
        chat.m[ARGV[m + i]] = value
      else
        local entries, field = us, ARGV[u + i]
        local into = chat.u
        if kind ~= 'u' then
          entries, field, into = xs, ARGV[x + i], chat.x
          i = i + 1
        end
        local entry, value = entries[i], seq
        if not entry then
          links = links .. kind .. '0'
        elseif kind == 'r' or kind == 'k' then -- nobody walks these: their events are not counted
          links = links .. kind .. entry
        else
          local version, n = match(entry, '^(%d+):?(%d*)$')
          count = (tonumber(n) or 1) + 1
          links, value = links .. kind .. version, seq .. ':' .. format('%d', count)
        end
        entries[i] = value
        into[field] = value
      end
      if count % SNAPSHOT == 0 then due = due .. ' ' .. number .. '.' .. k end
    end
    if what ~= '' and what ~= '+' then
      chat.deleted = chat.deleted or {}
      chat.deleted[#chat.deleted + 1] = match(ms[tonumber(what)], '^%d+')
    end
    local json = ARGV[e + 3] .. seq .. ',"ordinal":' .. format('%d', chat.ordinal) .. ARGV[e + 4]
    local segment = floor((position - 1) / SEGMENT)
    local pushes = chat.pushes
    local push = pushes[#pushes]
    if not push or push.segment ~= segment or #push == 1000 then
      push = {segment = segment}
      pushes[#pushes + 1] = push
    end
    push[#push + 1] = links .. json
    operations[n_operations + 1], operations[n_operations + 2], operations[n_operations + 3] = stream, e, name
    operations[n_operations + 4], operations[n_operations + 5] = seq, json
    n_operations = n_operations + 5
    e = after(e)
  end
  if was_typing then
    operations[n_operations + 1], operations[n_operations + 2], operations[n_operations + 3] = false, typing, ARGV[a + 4]
    n_operations = n_operations + 5
  end
  return '0 ' .. format('%d %d %d', first, chat.seq, chat.ordinal) .. due
end

local outcomes = {}
at = 6
for c = 1, commands do
  local outcome = plan(at)
  if sub(outcome, 1, 1) == '2' and not plain(outcome, 'WRONGTYPE', 1, true) and not plain(outcome, '^2 the ') then
    return redis.error_reply(sub(outcome, 3)) -- the server's trouble, not this chat's: the whole batch waits
  end
  outcomes[c] = outcome
end

local function flush(key, entries, values)
  local n = #values
  for field, value in pairs(entries) do
    values[n + 1], values[n + 2] = field, value
    n = n + 2
  end
  for from = 1, n, 4000 do call('HSET', key, unpack(values, from, math.min(n, from + 3999))) end
end

if again then call('SET', fence, '1', 'EX', 600) end
for _, chat in ipairs(order) do
  local base = chat.base
  for _, push in ipairs(chat.pushes) do call('RPUSH', base .. ':' .. push.segment, unpack(push)) end
  flush(base .. ':x', chat.x, {'#', format('%d:%d', chat.seq, chat.ordinal)})
  if chat.u then flush(base .. ':u', chat.u, {}) end
  if chat.m then flush(base .. ':m', chat.m, {}) end
  if chat.deleted then for _, first in ipairs(chat.deleted) do call('ZADD', base .. ':d', first, first) end end
  if chat.created then call('SADD', chat.created, chat.name) end
end
for o = 1, n_operations, 5 do
  local stream, e = operations[o], operations[o + 1]
  if stream then
    local json = operations[o + 4]
    call('XADD', stream, '*', '_watermill_message_uuid', ARGV[e], 'metadata', ARGV[e + 2], 'payload', json, 'chat', operations[o + 2], 'seq', operations[o + 3])
    if ARGV[e + 1] ~= '' then call('PUBLISH', ARGV[e + 1], json) end
  else
    call('DEL', e)
    call('PUBLISH', ARGV[4], operations[o + 2])
  end
end

return concat(outcomes, '\n')
