-- Counts the unread messages of one user in several chats atomically.
--
-- KEYS  the id key of each partition
-- ARGV  user; the versions of chat:update, message:new and read:receipt that the caller reads; for each partition its log id; for each chat the place
--       of its partition, from 1, and the chat as in keys
-- Reply {0, for each chat the number of messages, -1 if the user is not a member, or -2 if the caller must count otherwise: an entry has a form that
--       this script does not read, or a key is missing}; {-1, place} if a partition belongs to another log
--
-- From level 3 of the log on, the user's read mark has the seq up to which the user has read, or of the join if that is later, and the ordinal at it.
-- Otherwise the script reads, for each chat, its index, the event of the join, the last event that moved the user's read mark, and the event up to which the user
-- has read. The type of an event is parsed from its first fields, never by a search in its content. Other fields are read only of events without
-- content of clients.

local LINKS = 32 -- maximum number of events read of one entity: a user's roles may change often, and a receipt may follow a later message

local user, partitions = ARGV[1], #KEYS
local versions = {['chat:update'] = tonumber(ARGV[2]), ['message:new'] = tonumber(ARGV[3]), ['read:receipt'] = tonumber(ARGV[4])}
for p = 1, partitions do
  if call('GET', KEYS[p]) ~= ARGV[4 + p] then return {-1, p} end
end
local match, format = string.match, string.format

-- event_at returns an entry and its type. It returns nil if the entry is missing, and no type if the caller does not read the event's type or
-- version.
local function event_at(base, head, seq)
  local segment, index = segment_of(seq)
  if seq > head or incomplete(base, segment, head) then return nil end
  local event = call('LINDEX', base .. ':' .. segment, index)
  if not event then return nil end
  local letter = match(event, '^[^{]*{\2(%l)')
  if letter then return event, (versions[TYPES[letter]] or 0) > 0 and TYPES[letter] or nil end
  local typ, version = match(event, '^[^{]*{"eventId":"[^"\\]*","type":"([^"\\]*)","v":(%d+),')
  if not typ or not versions[typ] or tonumber(version) > versions[typ] then return event, nil end
  return event, typ
end

local function linked(event, kind) return tonumber(match(event, '^[^{]*' .. kind .. '(%d+)') or 0) end

-- The changes of compact entries that concern membership.
local CHANGES = {'created', nil, 'member_added', 'member_removed', 'role_changed'}

-- joined_at returns the seq at which the present membership began and its event, 0 for a former member, or nil if that is unknown.
local function joined_at(base, head, seq)
  for _ = 1, LINKS do
    if not seq or seq == 0 then return nil end
    local event, typ = event_at(base, head, seq)
    if typ ~= 'chat:update' then return nil end
    local letter, _, _, code = ids_of(event)
    local change = letter and CHANGES[code] or not letter and match(event, '"change":"([%l_]+)"')
    if change == 'member_removed' then return 0 end
    if change == 'created' or change == 'member_added' then return seq, event end
    if change ~= 'role_changed' then return nil end
    seq = linked(event, 'u')
  end
  return nil
end

-- read_to returns the seq up to which the user has read, or nil if that is unknown.
local function read_to(base, head, seq)
  local mark = 0
  for _ = 1, LINKS do
    if seq <= mark then return mark end
    local event, typ = event_at(base, head, seq)
    local to
    if typ == 'message:new' then
      to = seq
    elseif typ == 'read:receipt' then
      to = read_seq(event)
    end
    if not to then return nil end
    if to > mark then mark = to end
    seq = linked(event, 'r')
  end
  return nil
end

-- start_of returns the seq from which the user's messages count as unread, and the ordinal at it. It returns nil and the reply for the chat if these are
-- unknown.
local function start_of(base, head, member, entry)
  local since, at = match(entry or '', '^%d+:(%d+):(%d+)$')
  if since then return tonumber(since), tonumber(at) end
  if match(entry or '', '^%d+:%-$') then return nil, -1 end
  local joined, event = joined_at(base, head, tonumber(match(member or '', '^%d+')))
  if not joined then return nil, -2 end
  if joined == 0 then return nil, -1 end
  local mark = read_to(base, head, tonumber(match(entry or '0', '^%d+') or head + 1))
  if not mark then return nil, -2 end
  if mark >= head then return nil, 0 end
  if mark > joined then
    joined, event = mark, event_at(base, head, mark)
  end
  local ordinal = event and event_of(event, joined)
  if not ordinal then return nil, -2 end
  return joined, ordinal
end

local function unread_in(base)
  local entries = call('HMGET', base .. ':x', ' ', ' u' .. user, ' r' .. user, ' #d')
  local head, messages, buried = parse_head(entries[1] or '')
  if not head then return -2 end
  local since, ordinal = start_of(base, head, entries[2], entries[3])
  if not since then return ordinal end
  local count = messages - ordinal
  if since >= head or count <= 0 then return 0 end
  local deleted = buried and format('%d', buried) or entries[4]
  if deleted == '0' then return count end
  if format('%d', call('ZCARD', base .. ':d')) ~= (deleted or '0') then return -2 end
  if deleted then count = count - call('ZCOUNT', base .. ':d', format('(%d', since), '+inf') end
  return count < 0 and 0 or count
end

local reply = {0}
for c = 5 + partitions, #ARGV, 2 do
  reply[#reply + 1] = unread_in(string.sub(KEYS[tonumber(ARGV[c])], 1, -3) .. ARGV[c + 1])
end
return reply
