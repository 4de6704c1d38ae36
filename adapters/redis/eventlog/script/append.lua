-- Appends the events of a batch of commands, each command wholly or not at all.
--
-- Phase 1 reads every key that phase 2 writes. It checks types and conditions, and applies earlier commands of the batch in Lua tables. Phase 2 only
-- writes. So only a fault of the server can occur between two writes: a wrong type, a key that has moved to another node and a full memory all show
-- before the first write.
--
-- If the Redis user has lost a right since the last check, the first command that needs it is refused. Phase 2 then reverts its writes and the script
-- returns the refusal as an error: nothing was appended. The heads of the chats are written last, so that they never have to be reverted. The reply
-- is -4, half written, only if a command of the reversal is refused as well, or a head after another head. The commands after the log's own writes,
-- PUBLISH and the removal of typing marks, never change the outcome: their refusals are counted in the reply. A snapshot that an erasure has removed is
-- not reverted: snapshots may be lost at any time.
--
-- A batch whose reply was lost is sent again with the same token. The second sending sets a fence. If the first sending arrives later, it finds the
-- fence and does nothing.
--
-- KEYS  for each partition of the batch: its id key, this process's witness; then for each its delivery stream
-- ARGV  log id; history against which the commands were validated; token of the batch; '1' if it is sent again; number of commands; for each
--       partition the least value that its witness must have; then for each command:
--       partition (from 1), chat, chat as in keys or '' if that is the same, key of the typing mark that the command removes or '';
--       number of limits that it takes from, and for each five values as in take_limits;
--       number of entities that it names, each as a field of :x, and for each the required version, the lowest and the highest as
--       LOWEST-HIGHEST, '!' for any version, '' for no condition, or '='
--       and a fingerprint: that is the command itself, which must not exist yet and is recorded;
--       number of events, which may be 0 for a recorded command, and for each: event id, channel or '' for no publication, metadata, JSON up to the
--       seq, JSON after the ordinal; '+' if it is a message, the place (from 1) among the entities of the message that it deletes, '>' and the place of
--       the read mark of a user who joins, '<' and that of one who leaves, '=', the seq up to which a user has read, '.' and the place of the member,
--       '~', the place of the message, '.', the number of events that it erases, '.' and the sender of the message, '*', the seq up to which a user has
--       read from now on, 0 if that is in the log alone, '.' and the place of the read mark, or ''; the type's letter and the body of its compact form, or '' if it
--       stays JSON; number of moves and the places of the entities that it moves; and for each event that it erases its seq, the SHA-1 that it must have in
--       the list, without its links, and its erased form
--       then about how many entries each stream keeps: groups trim streams further, but may not run
--       and last, PUBLISH or SPUBLISH to announce the events on the channels of their partitions that have subscribers, or '' for no announcement
-- Reply a line for each command, in their order, or one line that begins with a minus for the whole batch:
--       0 FIRST LAST ORDINAL TYPED [EVENT.MOVE …]  appended now, or by an earlier sending; TYPED is 1 if there was a typing mark;
--                                                  EVENT.MOVE (from 1) is an entity whose events have become a multiple of 256
--       1 PLACE VERSION                            conflict; PLACE is that of the entity, from 1. The required version may be VERSION: then an event to
--                                                  erase has another form than the caller has read
--       2 CAUSE                                    the chat's keys contradict each other, or have another type
--       3                                          it is unknown whether an earlier sending was appended
--       4                                          a command without events, for a chat that does not exist
--       5 PLACE FIRST SECOND                       the limit at PLACE refuses; the rest is its decision as in take_limits
--       7 PLACE                                    an erasure of what is under a legal hold: 1 of the log, 2 of the chat, 3 of the sender
--       6 PLACE CAUSE                              the limit at PLACE cannot be decided; without CAUSE its key has another type
--       -1 PARTITION                               the partition belongs to another log
--       -2                                         the batch was sent again before this sending arrived
--       -3 HISTORY                                 the server is at another history
--       -4 ERROR                                   a write was refused, and earlier ones could not be reverted
--       -5 PARTITION                               the partition's data is older than the data this process has seen
--       A line "! COUNT ERROR" after the outcomes counts refused PUBLISH, SPUBLISH and DEL, and announcements that are left out because XREVRANGE was
--       refused.
--
-- An announcement on the channel of a partition, which is the prefix of the partition's keys and "live", is the text
--       PREVIOUS\n
--       ID SEQ CHAT LENGTH JSON\n
-- with the second line for each event of the batch, in the order of the stream. PREVIOUS is the id of the entry before the first of these events, or
-- 0-0 if the stream was empty: a reader that has all entries up to it misses nothing. LENGTH is the number of bytes of JSON. An announcement of more
-- than one event has at most 64 KiB; further events follow in the next one.
--
-- A channel without subscribers on this server gets no announcement. Readers lose nothing by that: they read the id of the stream's last entry after the
-- confirmation of their subscription, so a script that finds no subscriber has run before that read. A subscription to a pattern does not count. If
-- PUBSUB is refused, events are announced.
--
-- The fields of :x are ' ' for the head, a message's id for the message, and ' ', kind and id for other entities. Messages have the shortest form
-- because they are many.
--
-- The entry of an entity is VERSION or, after more than one event, VERSION:EVENTS:FIRST, with the seqs of its last and its first event. Read marks
-- and receipts do not count their events, because their links are not walked. The entry of a command is VERSION:EVENTS:FINGERPRINT: the seq of its
-- last event, its number of events, and the fingerprint in hexadecimal digits. Without events VERSION is the head at that time.
--
-- From level 3 of the log on, the list has events in the compact form of docs/wire.md, and a message has the link 'p' to the
-- message before. Streams and channels have JSON at any level. Then the head has four parts, LAST:MESSAGES:DELETED:SENT, with the number of tombstones and
-- the seq of the last message, 0 if that is unknown. A head of two parts becomes one of four. ' #d' is the number of tombstones only below level 3: a field
-- that an upgrade leaves behind has no meaning.
--
-- The entry of a read mark is VERSION:BASE:ORDINAL from level 3 on: the seq up to which the user has read, or of the join if that is later, and the ordinal
-- at that seq. A user who marks messages as unread sets it back. VERSION is 0 if no event has moved the mark. It is VERSION:- after the user has left, and VERSION alone while the base is unknown: then
-- readers find it in the log.
--
-- The hash "holds" of the partition has the legal holds: '' and those of the log, 'c' and a chat, 'u' and a user. An erasure checks them in the step in which it
-- would overwrite, so that a hold that was set before is never missed.
--
-- The field ' #p' of :x is a pad without a meaning. Its 65 bytes make Redis store :x as a hash table: a listpack of up to 512 fields makes a send up
-- to 1.4 times as expensive. It is written when the seq passes a multiple of 128, and remains; programs that do not know it ignore it.

local SEGMENT, FIND, SNAPSHOT, PAD_EVERY, PAD, ANNOUNCEMENT = 1024, 8192, 256, 128, string.rep('-', 65), 65536
local try = pcall -- the function of Lua, not of Redis
local ARGV, KEYS, call, pcall, unpack, tonumber, type = ARGV, KEYS, redis.call, redis.pcall, unpack, tonumber, type
local floor, format, match, concat, sub, plain, sha1 = math.floor, string.format, string.match, table.concat, string.sub, string.find, redis.sha1hex

local bound, announcing = ARGV[#ARGV - 1], ARGV[#ARGV]
local counting = announcing == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB'
local log_id, history, again, commands = ARGV[1], ARGV[2], ARGV[4] == '1', tonumber(ARGV[5])

local rich = (tonumber(match(log_id, '^[^;]*;(%d+);') or 1)) >= 3
local partitions = #KEYS / 3
local prefixes, behind = {}, nil
local found = call('MGET', unpack(KEYS, 1, 2 * partitions))
for p = 1, partitions do
  if found[2 * p - 1] ~= log_id then return '-1 ' .. p end
  local witness, least = found[2 * p], ARGV[5 + p]
  if witness ~= least and (tonumber(witness or 0) or 0) < tonumber(least) then behind = p end
  prefixes[p] = sub(KEYS[2 * p - 1], 1, -3)
end

-- The server's replication ID names the history of its data. A restart or a promotion begins another history, which may lack events that this process
-- has seen. Without the ID a stale cache would go unnoticed, so nothing is appended.
local told = pcall('INFO', 'replication')
if type(told) ~= 'string' then return told end
local present = match(told, 'master_replid:(%x+)')
if not present then return redis.error_reply('NOHISTORY INFO replication has no master_replid') end
if present ~= history then return '-3 ' .. present end
if behind then return '-5 ' .. behind end

local fence = prefixes[1] .. 'fence:' .. ARGV[3]
if call('EXISTS', fence) == 1 and not again then return '-2' end

local function kind_of(field)
  if sub(field, 1, 1) == ' ' then return sub(field, 2, 2) end
  return 'm'
end

-- Places and counts are small numbers: a table lookup is cheaper than tonumber.
local small = setmetatable({['0'] = 0, ['1'] = 1, ['2'] = 2, ['3'] = 3, ['4'] = 4, ['5'] = 5, ['6'] = 6, ['7'] = 7, ['8'] = 8, ['9'] = 9}, {
  __index = function(_, text) return tonumber(text) end,
})

local fault -- the first error while the present command was read
local function read(...)
  local reply = pcall(...)
  if type(reply) == 'table' and reply.err then
    fault = fault or reply.err
    return false
  end
  return reply
end

local function version_in(entry)
  if not entry then return '0' end
  if tonumber(entry) then return entry end
  local version = match(entry, '^(%d+):%d+:%x+$') or match(entry, '^(%d+):%-$')
  if not version then fault = fault or 'the index is unreadable' end
  return version or '0'
end

-- within reports whether a version is in a required range.
local function within(version, range)
  local lowest, highest = match(range, '^(%d+)-(%d+)$')
  return lowest and tonumber(version) >= tonumber(lowest) and tonumber(version) <= tonumber(highest)
end

-- chats holds the state of each chat after the commands planned so far: seq, ordinal, pushes to segments, and values for :x as alternating fields and
-- entries. Once a second command uses the same chat, entries holds the same values as a table.
local chats, order, streams = {}, {}, {}

local function touch_segment(chat, segment)
  local length = pcall('LLEN', chat.base .. ':' .. segment)
  if type(length) == 'table' then
    fault = length.err
    return
  end
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
  chat = {
    base = base, seq = 0, ordinal = 0, ordinal_text = '0', stored = 0, touched = -1,
    values = false, entries = false, pushes = false, created = false, name = false, counted = false, joined = false, deleted = false,
    members = false, tombstones = false, buried = false, dead = '0', sent = 0, erased = false,
  }
  if head then
    local seq, ordinal, dead, sent
    if rich then
      seq, ordinal, dead, sent = match(head, '^(%d+):(%d+):(%d+):(%d+)$')
      if seq then chat.dead, chat.sent = dead, tonumber(sent) end
    end
    if not seq then
      seq, ordinal = match(head, '^(%d+):(%d+)$')
      if seq and rich then chat.dead = match(read('HGET', base .. ':x', ' #d') or '0', '^%d+$') end
      if not chat.dead then fault = fault or 'the count of :d is not what the index says' end
    end
    if not seq then
      fault = fault or 'the head is unreadable'
      return chat
    end
    chat.seq, chat.ordinal, chat.ordinal_text = tonumber(seq), tonumber(ordinal), ordinal
    chat.stored = chat.seq
  elseif read('EXISTS', base .. ':x', base .. ':u', base .. ':d') ~= 0 then
    fault = fault or 'the head is missing'
    return chat
  end
  if chat.stored > 0 then touch_segment(chat, floor((chat.stored - 1) / SEGMENT)) end
  if not fault then chats[base] = chat end
  return chat
end

local function element(chat, seq)
  return read('LINDEX', chat.base .. ':' .. floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT) or ''
end

-- ordinal_at returns the ordinal of an event that is stored or planned, or nil.
local function ordinal_at(chat, seq)
  if seq < 1 or seq > chat.seq then return nil end
  local place, entry = seq - chat.stored, ''
  if place < 1 then
    entry = element(chat, seq)
  else
    for _, push in ipairs(chat.pushes) do
      if place <= #push then
        entry = push[place]
        break
      end
      place = place - #push
    end
  end
  return match(entry, '^[^{]*{\2%l(%d+):') or match(entry, '"seq":%d+,"ordinal":(%d+)')
end

-- is_event reports whether a stored entry is the event at e in ARGV. Every sending of a batch has the same bytes: JSON is compared up to its seq, so the
-- comparison covers the event's own fields and never depends on its content, and the compact form but for its ordinal. It returns nil if the event has
-- no compact form to compare: the entry may be the event, rewritten since.
local function is_event(stored, e)
  local from = plain(stored, '{', 1, true)
  if not from then return false end
  if sub(stored, from + 1, from + 1) ~= '\2' then
    local start = ARGV[e + 3]
    return sub(stored, from, from + #start - 1) == start
  end
  local compact, _, to = ARGV[e + 6], plain(stored, ':', from, true)
  if compact == '' then return nil end
  return to and sub(stored, from + 2, from + 2) .. sub(stored, to + 1) == compact
end

-- find returns the seq at which an earlier sending of the same batch appended an event: 0 if it did not, nil if that is unknown. It follows the links
-- of an entity that the event moves, from the given version on.
local function find(chat, e, kind, version)
  local seq = tonumber(version)
  for _ = 1, FIND do
    if seq == 0 or seq > chat.stored then return 0 end
    local stored = element(chat, seq)
    if stored == '' then return nil end
    local same = is_event(stored, e)
    if same == nil then return nil end
    if same then return seq end
    seq = tonumber(match(stored, '^[^{]*' .. kind .. '(%d+)') or 0)
  end
  return nil
end

-- find_recorded does the same for a recorded command, whose entry has the seqs of its events. A command without events is found by its fingerprint.
local function find_recorded(chat, e, entry, fingerprint, events)
  local version, count, recorded = match(entry or '', '^(%d+):(%d+):(%x+)$')
  if not version or tonumber(count) ~= events then return 0 end
  if events == 0 then return '=' .. recorded == fingerprint and tonumber(version) or 0 end
  local first = tonumber(version) - events + 1
  local same = is_event(element(chat, first), e)
  if same == nil then return nil end
  return same and first or 0
end

-- erasures returns the number of events that an erasure erases, the place of its message, and the sender.
local function erasures(what)
  local place, count, sender = match(what, '^~(%d+)%.(%d+)%.(.*)$')
  return tonumber(count), tonumber(place), sender
end

-- erasure_of returns what an erasure, the event at e in ARGV, writes: for each erased event the key of its segment, its index, its new entry and its
-- present one. It returns nil if an event has another form than the caller has read.
local function erasure_of(chat, e)
  local first, writes = e + 8 + small[ARGV[e + 7]], {}
  for a = first, first + 3 * erasures(ARGV[e + 5]) - 1, 3 do
    local seq = tonumber(ARGV[a])
    local stored = element(chat, seq)
    local from = plain(stored, '{', 1, true)
    if not from or sha1(sub(stored, from)) ~= ARGV[a + 1] then return nil end
    local n = #writes
    writes[n + 1], writes[n + 2] = chat.base .. ':' .. floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT
    writes[n + 3], writes[n + 4] = sub(stored, 1, from - 1) .. ARGV[a + 2], stored
  end
  return writes
end

-- counted returns the number of elements of a key of the chat. It sets fault if the index has another count: that of a field, unless count is given.
local function counted(chat, part, command, field, count)
  local length = read(command, chat.base .. part)
  count = count or read('HGET', chat.base .. ':x', field) or '0'
  if not fault and format('%d', length) ~= count then fault = 'the count of ' .. part .. ' is not what the index says' end
  return not fault and length
end

-- has_subscribers reports whether a message on a channel may reach a subscriber.
local function has_subscribers(channel)
  local counts = pcall('PUBSUB', counting, channel)
  return counts.err or counts[2] > 0
end

-- stream_of returns the state of a stream before the batch, or sets fault. The state has the id of the last entry if the batch is announced.
local function stream_of(key, prefix)
  local channel = prefix .. 'live'
  local announced = announcing ~= '' and has_subscribers(channel)
  local last = announced and pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if not last or last.err then read('XLEN', key) end
  if fault then return nil end
  if not announced then return {channel = false} end
  return {channel = channel, refusal = last.err, last = last[1] and last[1][1] or '0-0', parts = false, bytes = ANNOUNCEMENT}
end

-- receipt_of returns the entry of a read mark after a receipt of the given seq. to is the seq that was read, ordinal that at it or nil, and member the entry
-- of the member. Without a base, the receipt is the base if neither the mark before nor the join can be later.
local function receipt_of(entry, seq, to, ordinal, member)
  local base, at = match(entry or '', '^%d+:(%d+):(%d+)$')
  if base and tonumber(base) >= to then return seq .. ':' .. base .. ':' .. at end
  if entry and sub(entry, -1) == '-' then return seq .. ':-' end
  if not ordinal or not base and (not member or to < tonumber(version_in(entry)) or to < tonumber(version_in(member))) then return seq end
  return seq .. ':' .. format('%d', to) .. ':' .. ordinal
end

-- unread_after returns the entry of a read mark whose user has marked messages as unread: those after a seq or, if it is 0, those after the mark in the log.
local function unread_after(entry, seq, ordinals)
  if entry and sub(entry, -1) == '-' then return entry end
  local ordinal = ordinals[seq]
  return version_in(entry) .. (ordinal and ':' .. format('%d', seq) .. ':' .. ordinal or '')
end

local operations, n_operations = {}, 0 -- on streams and channels, in order: stream, place of the event in ARGV, chat, seq, JSON
local marks = {} -- typing marks to remove

-- plan plans the command at a in ARGV: its outcome, and its writes if it is to be appended. It leaves at after the command.
local at
local function plan(a)
  fault = nil
  local partition, name, escaped, typing = small[ARGV[a]], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local limits = small[ARGV[a + 4]]
  local f = a + 5 + 5 * limits -- entities at f + 1 …
  local n = small[ARGV[f]]
  local events = small[ARGV[f + 1 + 2 * n]]
  local first_event = f + 2 + 2 * n
  at = first_event
  local deletes, joins, reads, erasure = false, false, nil, nil
  for _ = 1, events do
    local moves = small[ARGV[at + 7]]
    local what = ARGV[at + 5]
    if what ~= '' and what ~= '+' then
      if small[what] then
        deletes = true
      elseif rich and match(what, '^[=*]') then
        reads = reads or {}
        reads[#reads + 1] = tonumber(match(what, '%d+'))
      elseif sub(what, 1, 1) == '~' then
        erasure = at
        moves = moves + 3 * erasures(what)
      end
    end
    at = at + 8 + moves
  end

  local prefix = prefixes[partition]
  local base = prefix .. (escaped == '' and name or escaped)
  local entries = pcall('HMGET', base .. ':x', ' ', unpack(ARGV, f + 1, f + n))
  if entries.err then
    fault = entries.err
    return '2 ' .. fault
  end
  local chat = chat_of(base, entries[1])
  if fault then return '2 ' .. fault end
  if chat.values then -- an earlier command of the batch writes
    local written = chat.entries
    if not written then
      written = {}
      for i = 3, #chat.values, 2 do written[chat.values[i]] = chat.values[i + 1] end
      chat.entries = written
    end
    for i = 1, n do entries[i + 1] = written[ARGV[f + i]] or entries[i + 1] end
  end

  if again then
    local found, recorded = 0, nil
    for i = 1, n do
      if sub(ARGV[f + n + i], 1, 1) == '=' then recorded = i end
    end
    if recorded then
      found = find_recorded(chat, first_event, entries[recorded + 1], ARGV[f + n + recorded], events)
      if found and found > 0 and events == 0 then return '0 0 0 0 0' end
    elseif ARGV[first_event + 7] ~= '0' then
      local i = small[ARGV[first_event + 8]]
      found = find(chat, first_event, kind_of(ARGV[f + i]), version_in(entries[i + 1]))
    end
    if not found then return '3' end
    if found > 0 then
      local last = found + events - 1
      return format('0 %d %d %d 0', found, last, tonumber(ordinal_at(chat, last) or 0))
    end
  end

  local command
  for i = 1, n do
    local entry, expected = entries[i + 1], ARGV[f + n + i]
    if expected ~= '' and entry ~= expected and (entry or expected ~= '0') then
      local version = version_in(entry)
      if not entry and sub(expected, 1, 1) == '=' then
        command = i
      elseif version ~= expected and not (version ~= '0' and expected == '!') and not within(version, expected) and not fault then
        return '1 ' .. i .. ' ' .. version
      end
    end
    if not entry and sub(ARGV[f + i], 1, 2) == ' u' then joins = true end
  end

  if events == 0 and chat.seq == 0 and not fault then return '4' end

  local erased, snapshot
  if erasure then
    local _, place, sender = erasures(ARGV[erasure + 5])
    for i, hold in ipairs(read('HMGET', prefix .. 'holds', '', 'c' .. name, 'u' .. sender) or {}) do
      if hold then return '7 ' .. i end
    end
    snapshot = read('HEXISTS', chat.base .. ':s', ARGV[f + place]) == 1 and ARGV[f + place]
    erased = erasure_of(chat, erasure)
    if not erased and not fault then return '1 ' .. place .. ' ' .. version_in(entries[place + 1]) end
  end

  -- Reads the keys that were not read yet and will be written. Entries with more than a version must be readable.
  for i = 2, n + 1 do
    if entries[i] and not tonumber(entries[i]) then version_in(entries[i]) end
  end
  for segment = floor(chat.seq / SEGMENT), floor((chat.seq + events - 1) / SEGMENT) do
    if segment > chat.touched then touch_segment(chat, segment) end
  end
  if chat.seq == 0 then
    local listed, count = read('SISMEMBER', prefix .. 'chats', name), read('GET', prefix .. 'count')
    if listed == 1 then fault = fault or 'the head is missing' end
    if count and not match(count, '^%d+$') then fault = fault or 'the count of chats is unreadable' end
  end
  if joins and not chat.members then chat.members = counted(chat, ':u', 'HLEN', ' #u') end
  if deletes and not chat.tombstones then chat.tombstones = counted(chat, ':d', 'ZCARD', ' #d', rich and chat.dead) end
  local ordinals = reads and {}
  for _, to in ipairs(reads or {}) do ordinals[to] = ordinal_at(chat, to) end
  local stream = KEYS[2 * partitions + partition]
  if not streams[stream] then streams[stream] = stream_of(stream, prefix) end
  local was_typing = typing ~= '' and read('EXISTS', typing) == 1
  if fault then return '2 ' .. fault end
  if limits > 0 then
    local takes = {}
    for i = 1, limits do takes[i] = {unpack(ARGV, a + 5 * i, a + 5 * i + 4)} end
    local decisions, place, cause = take_limits(takes)
    if place then return '6 ' .. place .. ' ' .. cause end
    local last = decisions[limits] or decisions[#decisions]
    if last[1] == 0 then return '5 ' .. #decisions .. ' ' .. last[2] .. ' ' .. last[3] end
  end

  if not chat.values then
    order[#order + 1] = chat
    chat.values, chat.pushes = {' ', '', nil, nil, nil, nil}, {}
    if chat.stored == 0 then chat.created, chat.name = prefix, name end
  end
  if erased then
    chat.erased = chat.erased or {}
    chat.erased[#chat.erased + 1] = {writes = erased, snapshot = snapshot, view = prefix .. 'previews', field = sub(base, #prefix + 1)}
  end
  local values, written, pushes = chat.values, chat.entries, chat.pushes
  local n_values = #values

  local first, seq, ordinal, due = chat.seq + 1, '', chat.ordinal_text, ''
  local e = first_event
  for number = 1, events do
    local position = chat.seq + 1
    seq = format('%d', position)
    chat.seq = position
    local what, compact, moves = ARGV[e + 5], ARGV[e + 6], small[ARGV[e + 7]]
    if what == '+' then
      chat.ordinal = chat.ordinal + 1
      ordinal = format('%d', chat.ordinal)
    end
    local links = ''
    for k = 1, moves do
      local i = small[ARGV[e + 7 + k]]
      local field = ARGV[f + i]
      local kind, entry, value = kind_of(field), entries[i + 1], seq
      if not entry then
        if kind == 'u' then
          chat.joined = chat.joined or {}
          chat.joined[#chat.joined + 1] = sub(field, 3)
          chat.joined[#chat.joined + 1] = ''
          chat.members = chat.members + 1
        end
      elseif kind == 'r' or kind == 'v' then
        local version = match(entry, '^%d+')
        if version ~= '0' then links = links .. kind .. version end
      else
        local version, count, start = match(entry, '^(%d+):?(%d*):?(%d*)$')
        if count == '' then count, start = 1, version end
        count = count + 1
        links = links .. kind .. version
        value = seq .. ':' .. format('%d', count) .. ':' .. start
        if count % SNAPSHOT == 0 then due = due .. ' ' .. number .. '.' .. k end
      end
      if rich and kind == 'r' then
        local to, member = match(what, '^=(%d+)%.(%d+)$')
        if to then
          to = tonumber(to)
          value = receipt_of(entry, seq, to, ordinals[to], entries[tonumber(member) + 1])
        else
          value = seq .. ':' .. seq .. ':' .. ordinal
        end
      end
      entries[i + 1] = value
      values[n_values + 1], values[n_values + 2] = field, value
      n_values = n_values + 2
      if written then written[field] = value end
    end
    local sign = what ~= '' and what ~= '+' and sub(what, 1, 1)
    if rich and (sign == '>' or sign == '<') then
      local i = tonumber(sub(what, 2))
      local value = version_in(entries[i + 1]) .. (sign == '>' and ':' .. seq .. ':' .. ordinal or ':-')
      entries[i + 1] = value
      values[n_values + 1], values[n_values + 2], n_values = ARGV[f + i], value, n_values + 2
      if written then written[ARGV[f + i]] = value end
    elseif rich and sign == '*' then
      local to, place = match(what, '^%*(%d+)%.(%d+)$')
      local i = tonumber(place)
      local value = unread_after(entries[i + 1], tonumber(to), ordinals)
      entries[i + 1] = value
      values[n_values + 1], values[n_values + 2], n_values = ARGV[f + i], value, n_values + 2
      if written then written[ARGV[f + i]] = value end
    elseif sign and small[what] then
      local entry = entries[tonumber(what) + 1]
      chat.deleted, chat.buried = chat.deleted or {}, chat.buried or {}
      local start = match(entry, ':(%d+)$') or entry
      if not chat.buried[start] and not call('ZSCORE', chat.base .. ':d', start) then
        chat.tombstones = chat.tombstones + 1
        chat.deleted[#chat.deleted + 1] = start
      end
      chat.buried[start] = true
    end
    local json = ARGV[e + 3] .. seq .. ',"ordinal":' .. ordinal .. ARGV[e + 4]
    local stored = json
    if rich then
      if what == '+' then
        if chat.sent > 0 then links = links .. 'p' .. format('%d', chat.sent) end
        chat.sent = position
      end
      if compact ~= '' then stored = '{\2' .. sub(compact, 1, 1) .. ordinal .. ':' .. sub(compact, 2) end
    end
    local segment = floor((position - 1) / SEGMENT)
    local push = pushes[#pushes]
    if not push or push.segment ~= segment or #push == 1000 then
      push = {segment = segment}
      pushes[#pushes + 1] = push
    end
    push[#push + 1] = links .. stored
    operations[n_operations + 1], operations[n_operations + 2], operations[n_operations + 3] = stream, e, name
    operations[n_operations + 4], operations[n_operations + 5] = seq, json
    n_operations = n_operations + 5
    e = e + 8 + moves
    if sign == '~' then e = e + 3 * erasures(what) end
  end
  if was_typing then marks[#marks + 1] = typing end
  if events == 0 then seq = format('%d', chat.seq) end
  if command then
    local field, value = ARGV[f + command], seq .. ':' .. events .. ':' .. sub(ARGV[f + n + command], 2)
    values[n_values + 1], values[n_values + 2], n_values = field, value, n_values + 2
    if written then written[field] = value end
  end
  chat.ordinal_text = ordinal
  if deletes then chat.dead = format('%d', chat.tombstones) end
  values[2] = seq .. ':' .. ordinal .. (rich and ':' .. chat.dead .. ':' .. format('%d', chat.sent) or '')
  if joins then values[n_values + 1], values[n_values + 2], n_values = ' #u', format('%d', chat.members), n_values + 2 end
  if deletes and not rich then values[n_values + 1], values[n_values + 2] = ' #d', chat.dead end
  if events == 0 then return '0 0 0 0 0' end
  return '0 ' .. (events == 1 and seq or format('%d', first)) .. ' ' .. seq .. ' ' .. ordinal .. (was_typing and ' 1' or ' 0') .. due
end

local outcomes = {}
at = 6 + partitions
for c = 1, commands do
  local outcome = plan(at)
  if fault and not plain(fault, 'WRONGTYPE', 1, true) and not plain(fault, '^the ') then
    return redis.error_reply(fault) -- a fault of the server and not of this chat: the whole batch fails
  end
  outcomes[c] = outcome
end

local function hset(key, values)
  local n = #values
  if n <= 4000 then return call('HSET', key, unpack(values)) end
  for from = 1, n, 4000 do call('HSET', key, unpack(values, from, from + 3999 < n and from + 3999 or n)) end
end

local announcements = {} -- of all streams, in order: the stream's state, and the parts of the text

local begun, added, headed = false, {}, false -- whether the log was written to; ids of added stream entries, each after its stream; whether a head was written
local written, cause = try(function()
  write_limits()
  if again then call('SET', fence, '1', 'EX', 600) end
  for _, chat in ipairs(order) do
    for _, erasure in ipairs(chat.erased or {}) do
      local writes = erasure.writes
      for w = 1, #writes, 4 do
        call('LSET', writes[w], writes[w + 1], writes[w + 2])
        begun = true
      end
      if erasure.snapshot then call('HDEL', chat.base .. ':s', erasure.snapshot, '=' .. erasure.snapshot) end
      pcall('HDEL', erasure.view, erasure.field) -- the view is a cache: the built-in group replaces what a refusal leaves
    end
    for _, push in ipairs(chat.pushes) do
      call('RPUSH', chat.base .. ':' .. push.segment, unpack(push))
      begun = true
    end
    if chat.deleted then for _, first in ipairs(chat.deleted) do call('ZADD', chat.base .. ':d', first, first) end end
    if chat.created then
      call('SADD', chat.created .. 'chats', chat.name)
      call('INCR', chat.created .. 'count')
      chat.counted = true
    end
  end
  for o = 1, n_operations, 5 do
    local stream, e, id = operations[o], operations[o + 1], nil
    if o == 1 then -- trims the stream once per batch, which is often enough: each time costs 0.4 µs
      id = call('XADD', stream, 'MAXLEN', '~', bound, '*', '_watermill_message_uuid', ARGV[e], 'metadata', ARGV[e + 2], 'payload', operations[o + 4], 'chat', operations[o + 2], 'seq', operations[o + 3])
    else
      id = call('XADD', stream, '*', '_watermill_message_uuid', ARGV[e], 'metadata', ARGV[e + 2], 'payload', operations[o + 4], 'chat', operations[o + 2], 'seq', operations[o + 3])
    end
    added[#added + 1], added[#added + 2] = stream, id
    local state = streams[stream]
    if state.channel then -- adds the event to the stream's last announcement, or to a new one if that has no room
      local json = operations[o + 4]
      local head = '\n' .. id .. ' ' .. operations[o + 3] .. ' ' .. operations[o + 2] .. ' ' .. #json .. ' '
      local parts, bytes = state.parts, state.bytes + #head + #json
      if bytes > ANNOUNCEMENT then
        parts, bytes = {state.last, head, json, '\n'}, #state.last + #head + #json + 1
        announcements[#announcements + 1], announcements[#announcements + 2] = state, parts
        state.parts = parts
      else
        local n = #parts
        parts[n], parts[n + 1], parts[n + 2] = head, json, '\n'
      end
      state.bytes, state.last = bytes, id
    end
  end
  for _, chat in ipairs(order) do
    if floor(chat.stored / PAD_EVERY) < floor(chat.seq / PAD_EVERY) then
      local n = #chat.values
      chat.values[n + 1], chat.values[n + 2] = ' #p', PAD
    end
    hset(chat.base .. ':x', chat.values)
    begun, headed = true, true
    if chat.joined then hset(chat.base .. ':u', chat.joined) end
  end
end)

-- revert reverts all writes of phase 2 before the first head. It fails at the first refused command.
local function revert()
  for i = 1, #added, 2 do call('XDEL', added[i], added[i + 1]) end
  for _, chat in ipairs(order) do
    for _, erasure in ipairs(chat.erased or {}) do
      local writes = erasure.writes
      for w = 1, #writes, 4 do call('LSET', writes[w], writes[w + 1], writes[w + 3]) end
    end
    if chat.created then
      if chat.counted and call('DECR', chat.created .. 'count') == 0 then call('DEL', chat.created .. 'count') end
      call('SREM', chat.created .. 'chats', chat.name)
    end
    if chat.deleted then for _, first in ipairs(chat.deleted) do call('ZREM', chat.base .. ':d', first) end end
    for _, push in ipairs(chat.pushes) do
      local length = chat.stored - push.segment * SEGMENT
      if length > 0 then
        call('LTRIM', chat.base .. ':' .. push.segment, 0, length - 1)
      else
        call('LTRIM', chat.base .. ':' .. push.segment, 1, 0)
      end
    end
  end
end

if not written then
  if type(cause) == 'table' then cause = cause.err end
  cause = tostring(cause)
  if headed or begun and not try(revert) then return '-4 ' .. cause end
  return redis.error_reply(cause)
end

local refused, refusal = 0, nil
local function attempt(...)
  local reply = pcall(...)
  if type(reply) == 'table' then refused, refusal = refused + 1, reply.err end
end

for o = 1, n_operations, 5 do
  local channel = ARGV[operations[o + 1] + 1]
  if channel ~= '' then attempt('PUBLISH', channel, operations[o + 4]) end
end

for i = 1, #announcements, 2 do
  local state, parts = announcements[i], announcements[i + 1]
  if state.refusal then
    refused, refusal = refused + 1, state.refusal
  else -- most announcements have one event, and .. is faster than concat
    attempt(announcing, state.channel, parts[5] and concat(parts) or parts[1] .. parts[2] .. parts[3] .. parts[4])
  end
end
for _, mark in ipairs(marks) do attempt('DEL', mark) end
if refused > 0 then outcomes[#outcomes + 1] = '! ' .. refused .. ' ' .. refusal end

return concat(outcomes, '\n')
