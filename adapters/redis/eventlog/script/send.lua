-- Appends a batch of sends: commands with one message:new. plain.lua says what such scripts have in common.
--
-- RPUSH is the first write of a command: it also shows whether the segment ends at the head, and a full memory.
--
-- ARGV  of each command: partition (from 1), chat, start of
--       the chat's keys, key of the typing mark that the command removes or '', field of the sender, of the message and of the sender's read mark or '' if the
--       message is in a thread alone, versions of the chat and of the sender, event id, metadata, JSON up to the seq, JSON after the ordinal, body of the
--       compact form or '' if the event stays JSON; and if there are conditions beside those of every message, or it moves more: a + with their numbers as letters
--       after ` and, separated by colons, for each of the conditions the version, 0 for an entity that must not exist, or ! for any version; the fields of these
--       conditions and of what it moves
-- Reply the outcome of a command that is appended has a ! after it if there was a typing mark

local SNAPSHOT, PLUS, BEFORE_A = 256, 43, 96
local byte, gmatch = string.byte, string.gmatch

while ARGV[a] do
  local base, outcome = ARGV[a + 2], '?'
  local conditions, moves, following = 0, 0, a + 14
  local sign, some, others = byte(ARGV[following] or '', 1, 3)
  if sign == PLUS then
    conditions, moves = some - BEFORE_A, others - BEFORE_A
    following = following + 1 + conditions + moves
  end
  repeat -- once: break leaves the command to append.lua
    if left and left[base] then break end
    local index, author, field, mark_field = base .. ':x', ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
    local timeline, known, stored = mark_field ~= '', 5, nil
    if following == a + 14 then
      stored = pcall('HMGET', index, ' ', ' c', author, field, mark_field)
    elseif timeline then
      stored = pcall('HMGET', index, ' ', ' c', author, field, mark_field, unpack(ARGV, a + 15, following - 1))
    else -- in a small chat, a field that is missing takes the longest
      known, stored = 4, pcall('HMGET', index, ' ', ' c', author, field, unpack(ARGV, a + 15, following - 1))
    end
    if not stored[1] or stored[4] then break end
    local chat, member = stored[2], stored[3]
    if chat ~= ARGV[a + 7] and (not chat or match(chat, '^(%d+):%d+:%x+$') ~= ARGV[a + 7]) then break end
    if member ~= ARGV[a + 8] and (not member or match(member, '^(%d+):%d+:%x+$') ~= ARGV[a + 8]) then break end
    if conditions > 0 then
      local i, met = known, true
      for expected in gmatch(ARGV[a + 14], '[%d!]+') do
        i = i + 1
        met = met and holds(stored[i], expected)
      end
      if not met then break end
    end

    local mark, seq, ordinal, deleted, last = timeline and stored[5], nil, nil, nil, nil
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

    seq = format('%d', stop + 1)
    if timeline then ordinal = format('%d', ordinal + 1) end
    local json = ARGV[a + 11] .. seq .. ',"ordinal":' .. ordinal .. ARGV[a + 12]
    local entry, head, value
    local r, version, p, sent = '', '', '', '' -- links
    if mark and mark ~= '0' then r, version = 'r', mark end
    local values, filled
    if moves > 0 or not timeline then
      values, filled = {' ', '', field, seq, mark_field, '', '', '', '', ''}, timeline and 6 or 4 -- with room for two or three
      for i = following - moves, following - 1 do
        local entity, entry = ARGV[i], stored[known + i - a - 14]
        if entry then
          local before, count, first = match(entry, '^(%d+):(%d+)(:%d+)$')
          if not before then
            before, count = match(entry, '^%d+$'), 1
            first = before and ':' .. before
          end
          count = count + 1
          if not before or count % SNAPSHOT == 0 then -- unreadable, or a snapshot is due
            values = nil
            break
          end
          version, entry = version .. sub(entity, 2, 2) .. before, seq .. format(':%d', count) .. first
        end
        values[filled + 1], values[filled + 2], filled = entity, entry or seq, filled + 2
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
    elseif values then
      values[2] = head
      if timeline then values[6] = value end
      if (stop + 1) % PAD_EVERY == 0 then
        values[filled + 1], values[filled + 2], filled = ' #p', string.rep('-', PAD_BYTES), filled + 2
      end
      written = pcall('HSET', index, unpack(values, 1, filled))
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

    if state then announce(state, id, seq, ARGV[a + 1], json) end
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
