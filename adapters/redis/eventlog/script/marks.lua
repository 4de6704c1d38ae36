-- Shared by the scripts that count unread messages. The script sets versions before it counts.
--
-- From level 3 of the log on, a user's read mark has the seq up to which the user has read, or of the join if that is later, and the ordinal at it.
-- Otherwise these functions read the event of the join, the last event that moved the user's read mark, and the event up to which the user has read. The
-- type of an event is parsed from its first fields, never by a search in its content. Other fields are read only of events without content of clients.

local LINKS = 32 -- maximum number of events read of one entity: a user's roles may change often, and a receipt may follow a later message
local match, format, sub = string.match, string.format, string.sub
local versions -- the versions that the caller reads, by type

-- foreign sets the versions from ARGV, from a place on. It returns the place of a partition whose log id is not the one that follows there, or nil.
local function foreign(at)
  versions = {['chat:update'] = tonumber(ARGV[at]), ['message:new'] = tonumber(ARGV[at + 1]), ['read:receipt'] = tonumber(ARGV[at + 2])}
  local held = call('MGET', unpack(KEYS))
  for p = 1, #KEYS do
    if held[p] ~= ARGV[at + 2 + p] then return p end
  end
end

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
local function start_of(chat, user, entry)
  local since, at = match(entry or '', '^%d+:(%d+):(%d+)$')
  if since then return tonumber(since), tonumber(at) end
  if match(entry or '', '^%d+:%-$') then return nil, -1 end
  local base, head = chat.base, chat.head
  local member = match(call('HGET', base .. ':x', ' u' .. user) or '', '^%d+')
  local joined, event = joined_at(base, head, member and tonumber(member))
  if not joined then return nil, -2 end
  if joined == 0 then return nil, -1 end
  if call('HEXISTS', base .. ':x', ' s' .. user) == 1 then return nil, -2 end -- the user may have marked messages as unread
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

-- countable returns what the counts of a chat share, from its head and its count of tombstones, or nil if the head is missing or unreadable.
local function countable(base, entry, tombstones)
  local head, messages, buried = match(entry or '', '^(%d+):(%d+):?(%d*)')
  if not head or not parse_head(entry) then return nil end
  if buried == '' then buried = tombstones end
  return {base = base, head = tonumber(head), messages = tonumber(messages), deleted = buried}
end

-- deleted_after returns the number of tombstones after a seq, or nil if tombstones are missing.
local function deleted_after(chat, seq)
  if chat.deleted == '0' then return 0 end
  local key = chat.base .. ':d'
  local after = chat.after
  if not after then
    after = {}
    chat.after, chat.whole = after, format('%d', call('ZCARD', key)) == (chat.deleted or '0')
  end
  if not chat.whole then return nil end
  if not chat.deleted then return 0 end
  after[seq] = after[seq] or call('ZCOUNT', key, format('(%d', seq), '+inf')
  return after[seq]
end

-- unread_of returns the number of messages that a user has not read, -1 if the user is not a member, or -2 if the caller must count otherwise: an entry
-- has a form that these functions do not read, or a key is missing. mark is the entry of the read mark.
local function unread_of(chat, user, mark)
  local since, ordinal = start_of(chat, user, mark)
  if not since then return ordinal end
  local count = chat.messages - ordinal
  if since >= chat.head or count <= 0 then return 0 end
  local deleted = deleted_after(chat, since)
  if not deleted then return -2 end
  return count > deleted and count - deleted or 0
end
