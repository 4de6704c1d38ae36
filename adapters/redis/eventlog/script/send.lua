-- Appends a batch of sends: commands with one message:new. It does the common case only, and what append.lua would do. A command that it does not decide is left to append.lua, and so are later commands of the same chat.
--
-- Each command is checked and written on its own, wholly or not at all. A refused write reverts the earlier ones of the command. RPUSH is the first one: it
-- also shows whether the segment ends at the head, and a full memory. A batch whose reply was lost is sent again by append.lua with the same token,
-- whose fence stops a sending that arrives late.
--
-- KEYS  for each partition of the batch: its id key, this process's witness; the fence of the batch; for each partition its delivery stream
-- ARGV  log id; history against which the commands were validated; PUBLISH or SPUBLISH to announce the events on the channels of
--       their partitions that have subscribers, or '' for no announcement; about how many entries each stream keeps; channel of message:new or '' for no
--       publication; for each partition the least value that its witness must have, and its channel; then for each command: partition (from 1), chat, start of
--       the chat's keys, key of the typing mark that the command removes or '', field of the sender, of the message and of the sender's read mark or '' if the
--       message is in a thread alone, versions of the chat and of the sender, event id, metadata, JSON up to the seq, JSON after the ordinal, body of the
--       compact form or '' if the event stays JSON; and if there are conditions beside those of every message, or it moves more: '', their numbers, the fields of
--       these conditions and of what it moves, and for each of the conditions the version, 0 for an entity that must not exist, or '!' for any version
-- Reply a line for each command, in their order, or one line that begins with a minus for the whole batch, as that of append.lua:
--       SEQ:ORDINAL[:…] appended: the chat's new head; a ! after it if there was a typing mark
--       ?               left to append.lua
--       A line "! COUNT ERROR" after the outcomes counts refused publications and removals of typing marks.

local SEGMENT, SNAPSHOT, PAD_EVERY, PAD_BYTES, ANNOUNCEMENT = 1024, 256, 128, 65, 65536
local ARGV, KEYS, pcall, unpack, tonumber, type = ARGV, KEYS, redis.pcall, unpack, tonumber, type
local format, match, concat, plain, sub = string.format, string.match, table.concat, string.find, string.sub

local log_id, history, announcing, bound, public = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local rich = (match(log_id, '^[^;]*;(%d+);') or 1) + 0 >= 3
local partitions = (#KEYS - 1) / 3
local streams = 2 * partitions + 1

local found = redis.call('MGET', unpack(KEYS, 1, streams))
local behind
for p = 1, partitions do
  if found[2 * p - 1] ~= log_id then return '-1 ' .. p end
  local witness, least = found[2 * p], ARGV[4 + 2 * p]
  if witness ~= least and (tonumber(witness or 0) or 0) < tonumber(least) then behind = p end
end
local info = pcall('INFO', 'replication')
if type(info) ~= 'string' then return info end
if not plain(info, 'master_replid:' .. history .. '\r\n', 1, true) then
  local present = match(info, 'master_replid:(%x+)')
  return present and '-3 ' .. present or redis.error_reply('NOHISTORY INFO replication has no master_replid')
end
if behind then return '-5 ' .. behind end
if found[streams] then return '-2' end

-- heard has for each partition whose channel may have a subscriber the id of its stream's last entry and its last announcement, and false if the stream
-- cannot be read. announcements has the announcements of all streams, in order.
local heard, announcements
if announcing ~= '' then
  local channels = {}
  for p = 1, partitions do channels[p] = ARGV[5 + 2 * p] end
  local counts = pcall('PUBSUB', announcing == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', unpack(channels))
  for p = 1, partitions do
    if counts.err or counts[2 * p] > 0 then
      local last = pcall('XREVRANGE', KEYS[streams + p], '+', '-', 'COUNT', 1)
      heard, announcements = heard or {}, announcements or {}
      heard[format('%d', p)] = not last.err and {channel = channels[p], last = last[1] and last[1][1] or '0-0', parts = false, bytes = ANNOUNCEMENT}
    end
  end
end

-- holds reports whether an entity with this entry meets a condition. It does not for an entry that is unreadable.
local function holds(entry, expected)
  if entry == expected then return true end
  if not entry then return expected == '0' end
  local version = match(entry, '^(%d+):%d+:%x+$') or expected == '!' and match(entry, '^%d+$')
  return version and (expected == '!' or version == expected)
end

-- moved returns the entry of an entity after the event at seq, and the event's link to the one before. It returns nil if append.lua has to do that.
local function moved(field, entry, seq)
  if not entry then return seq, '' end
  local version, count, first = match(entry, '^(%d+):(%d+):(%d+)$')
  if not version then
    version = match(entry, '^%d+$')
    count, first = 1, version
  end
  if not version or (count + 1) % SNAPSHOT == 0 then return nil end -- a snapshot is due
  return seq .. ':' .. format('%d', count + 1) .. ':' .. first, sub(field, 2, 2) .. version
end

local refused, refusal = 0, nil -- publications, and removals of typing marks
local outcomes, n, begun, left = {}, 0, false, nil
local a = 6 + 2 * partitions
while ARGV[a] do
  local base, outcome = ARGV[a + 2], '?'
  local conditions, moves, more, following = 0, 0, a + 17, a + 14
  if ARGV[following] == '' then
    conditions, moves = ARGV[a + 15] + 0, ARGV[a + 16] + 0
    following = more + 2 * conditions + moves
  end
  repeat -- once: break leaves the command to append.lua
    if left and left[base] then break end
    local index, author, field, mark_field = base .. ':x', ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
    local stored
    if following == a + 14 then
      stored = pcall('HMGET', index, ' ', ' c', author, field, mark_field)
    else
      stored = pcall('HMGET', index, ' ', ' c', author, field, mark_field, unpack(ARGV, more, more + conditions + moves - 1))
    end
    if not stored[1] or stored[4] then break end
    local chat, member = stored[2], stored[3]
    if chat ~= ARGV[a + 7] and (not chat or match(chat, '^(%d+):%d+:%x+$') ~= ARGV[a + 7]) then break end
    if member ~= ARGV[a + 8] and (not member or match(member, '^(%d+):%d+:%x+$') ~= ARGV[a + 8]) then break end
    local met = true
    for i = 1, conditions do met = met and holds(stored[5 + i], ARGV[more + conditions + moves + i - 1]) end
    if not met then break end

    local mark, seq, ordinal, deleted, last = stored[5], nil, nil, nil, nil
    if rich then
      seq, ordinal, deleted, last = match(stored[1], '^(%d+):(%d+):(%d+):(%d+)$')
      if mark then mark = match(mark, '^(%d+):%d+:%d+$') or match(mark, '^%d+$') or '' end
    else
      seq, ordinal = match(stored[1], '^(%d+):(%d+)$')
    end
    if not seq or mark and not tonumber(mark) then break end
    local stop = seq + 0
    local at, list = stop, nil
    if stop < SEGMENT then
      list = base .. ':0'
    else
      at = stop % SEGMENT
      list = base .. ':' .. (stop - at) / SEGMENT
    end
    if at == 0 then break end -- a new segment

    local timeline = mark_field ~= ''
    seq = format('%d', stop + 1)
    if timeline then ordinal = format('%d', ordinal + 1) end
    local json = ARGV[a + 11] .. seq .. ',"ordinal":' .. ordinal .. ARGV[a + 12]
    local entry, head, value
    local r, version, p, sent = '', '', '', '' -- links
    if mark and mark ~= '0' then r, version = 'r', mark end
    local values
    if moves > 0 then
      values = {' ', '', field, seq, timeline and mark_field or nil}
      local filled = timeline and 6 or 4
      for i = more + conditions, more + conditions + moves - 1 do
        local entry, link = moved(ARGV[i], stored[6 + i - more], seq)
        if not entry then
          values = nil
          break
        end
        version = version .. link
        values[filled + 1], values[filled + 2], filled = ARGV[i], entry, filled + 2
      end
      if not values then break end
    end
    if not timeline then
      if not rich then break end
      head = seq .. ':' .. ordinal .. ':' .. deleted .. ':' .. last
      if ARGV[a + 13] == '' then
        entry = version .. json
      else
        entry = version .. '{\2t' .. ordinal .. ':' .. ARGV[a + 13]
      end
    elseif rich then
      head, value = seq .. ':' .. ordinal .. ':' .. deleted .. ':' .. seq, seq .. ':' .. seq .. ':' .. ordinal
      if last ~= '0' then p, sent = 'p', last end
      if ARGV[a + 13] == '' then
        entry = r .. version .. p .. sent .. json
      else
        entry = r .. version .. p .. sent .. '{\2n' .. ordinal .. ':' .. ARGV[a + 13]
      end
    else
      head, value, entry = seq .. ':' .. ordinal, seq, r .. version .. json
    end
    local stream, state = KEYS[streams + ARGV[a]], heard and heard[ARGV[a]]
    if state == false then break end

    local length, id, written = pcall('RPUSH', list, entry), nil, nil
    if length ~= at + 1 then
      if type(length) == 'number' and pcall('LTRIM', list, 0, -2).err then return '-4 the last segment does not end at the head' end
      break
    end
    if begun then
      id = pcall('XADD', stream, '*', '_watermill_message_uuid', ARGV[a + 9], 'metadata', ARGV[a + 10], 'payload', json, 'chat', ARGV[a + 1], 'seq', seq)
    else -- trims one stream per batch, which is often enough
      id = pcall('XADD', stream, 'MAXLEN', '~', bound, '*', '_watermill_message_uuid', ARGV[a + 9], 'metadata', ARGV[a + 10], 'payload', json, 'chat', ARGV[a + 1], 'seq', seq)
    end
    if id.err then
      written = id
    elseif values or not timeline then
      values = values or {' ', '', field, seq}
      values[2] = head
      if timeline then values[6] = value end
      if (stop + 1) % PAD_EVERY == 0 then
        values[#values + 1] = ' #p'
        values[#values + 1] = string.rep('-', PAD_BYTES)
      end
      written = pcall('HSET', index, unpack(values))
    elseif (stop + 1) % PAD_EVERY == 0 then
      written = pcall('HSET', index, ' ', head, field, seq, mark_field, value, ' #p', string.rep('-', PAD_BYTES))
    else
      written = pcall('HSET', index, ' ', head, field, seq, mark_field, value)
    end
    if type(written) == 'table' then
      local removed = id.err and 0 or pcall('XDEL', stream, id)
      if type(removed) == 'table' or pcall('LTRIM', list, 0, -2).err then return '-4 ' .. written.err end
      break
    end
    begun, outcome = true, head

    if state then -- adds the event to the stream's last announcement, or to a new one if that has no room
      local line = '\n' .. id .. ' ' .. seq .. ' ' .. ARGV[a + 1] .. ' ' .. #json .. ' '
      local parts, bytes = state.parts, state.bytes + #line + #json
      if bytes > ANNOUNCEMENT then
        parts, bytes = {state.last, line, json, '\n'}, #state.last + #line + #json + 1
        announcements[#announcements + 1], announcements[#announcements + 2] = state.channel, parts
        state.parts = parts
      else
        local end_ = #parts
        parts[end_], parts[end_ + 1], parts[end_ + 2] = line, json, '\n'
      end
      state.bytes, state.last = bytes, id
    end
    if public ~= '' then
      local reply = pcall('PUBLISH', public, json)
      if type(reply) == 'table' then refused, refusal = refused + 1, reply.err end
    end
    local typing = ARGV[a + 3]
    local ended = typing == '' and 0 or pcall('DEL', typing)
    if ended == 1 then
      outcome = head .. '!'
    elseif ended ~= 0 and pcall('EXISTS', typing) == 1 then
      outcome, refused, refusal = head .. '!', refused + 1, ended.err
    end
  until true
  if outcome == '?' then
    left = left or {}
    left[base] = true
  end
  n = n + 1
  outcomes[n] = outcome
  a = following
end

for i = 1, announcements and #announcements or 0, 2 do
  local reply = pcall(announcing, announcements[i], concat(announcements[i + 1]))
  if type(reply) == 'table' then refused, refusal = refused + 1, reply.err end
end
if refused > 0 then outcomes[n + 1] = '! ' .. refused .. ' ' .. refusal end
return concat(outcomes, '\n')
