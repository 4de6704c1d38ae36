-- The beginning of the scripts of plain appends, send.lua and erase_message.lua, which plain_end.lua ends. They do the common case only, and what append.lua would do.
-- A command that they do not decide is left to append.lua, and so are later commands of the same chat.
--
-- Each command is checked and written on its own, wholly or not at all. A refused write reverts the earlier ones of the command. A batch whose reply was lost is
-- sent again by append.lua with the same token, whose fence stops a sending that arrives late.
--
-- KEYS  for each partition of the batch: its id key, this process's witness; the fence of the batch; for each partition its delivery stream
-- ARGV  log id; history against which the commands were validated; PUBLISH or SPUBLISH to announce the events on the channels of
--       their partitions that have subscribers, or '' for no announcement; about how many entries each stream keeps; channel of the first event of a command or ''
--       for no publication; for each partition the least value that its witness must have, and its channel; then the commands, as the script says
-- Reply a line for each command, in their order, or one line that begins with a minus for the whole batch, as that of append.lua:
--       SEQ:ORDINAL[:…] appended: the chat's new head
--       ?               left to append.lua
--       A line "! COUNT ERROR" after the outcomes counts refused publications and removals of typing marks.

local SEGMENT, PAD_EVERY, PAD_BYTES, ANNOUNCEMENT = 1024, 128, 65, 65536
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

local refused, refusal = 0, nil -- publications, and removals of typing marks
local outcomes, n, begun, left = {}, 0, false, nil
local a = 6 + 2 * partitions -- the place of the next command in ARGV

-- announce adds an event to the last announcement of its stream, or to a new one if that has no room. It exists if heard does: a function costs every call of the script.
local announce
if heard then
  announce = function(state, id, seq, chat, json)
    local line = '\n' .. id .. ' ' .. seq .. ' ' .. chat .. ' ' .. #json .. ' '
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
end
