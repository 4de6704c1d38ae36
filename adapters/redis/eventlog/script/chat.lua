-- Shared by the scripts that read a chat's log. Each read compares the elements it got with the chat's head.

local SEGMENT = 1024
local call = redis.call

-- segment_of returns the segment of a seq and the seq's index in it.
local function segment_of(seq)
  return math.floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT
end

-- The types of compact entries by their letters, see docs/wire.md.
local TYPES = {
  n = 'message:new', t = 'message:new', e = 'message:edit', d = 'message:delete', x = 'message:reaction', r = 'read:receipt', c = 'chat:update',
  z = 'message:erased',
}

-- in_thread reports whether the JSON of a message:new says that the message is in a thread alone. threadId and the fields after it, which have no braces,
-- are the last ones. The object of clientMeta before them may have a field of that name.
local function in_thread(entry)
  local stop = 0
  repeat
    local from = string.find(entry, ',"threadId":"', stop + 1, true)
    stop = from or stop
  until not from
  if stop == 0 then return false end
  local rest = string.match(string.gsub(string.sub(entry, stop + 12), '\\.', ''), '^"[^"]*"([^{}]*)}$')
  return rest and not string.find(rest, '"inChat":true', 1, true)
end

-- event_of returns the ordinal and the type of the entry at a seq, or nil. The type is 'thread' for a message that is in a thread alone and therefore has
-- no ordinal of its own. The log writes these fields before all fields with values from callers except the event id, and JSON strings contain no
-- unescaped quote. So the first match is never content. A compact entry does not have its seq.
local function event_of(entry, seq)
  local letter, ordinal = string.match(entry, '^[^{]*{\2(%l)(%d+):')
  if letter then
    if TYPES[letter] then return tonumber(ordinal), letter == 't' and 'thread' or TYPES[letter] end
    return nil
  end
  local kind, here, count = string.match(entry, '"type":"([^"]*)","v":%d+,"timestamp":"[^"]*","seq":(%d+),"ordinal":(%d+)')
  if kind and tonumber(here) == seq then return tonumber(count), kind == 'message:new' and in_thread(entry) and 'thread' or kind end
end

-- read_seq returns how far a read receipt says that its user has read, or nil. A receipt has no fields with content from callers.
local function read_seq(entry)
  return tonumber(string.match(entry, '^[^{]*{\2r%d+:(%d+):') or string.match(entry, '"readSeq":(%d+)'))
end

-- time_at returns the place before the time of a compact entry, or nil for JSON.
local function time_at(entry)
  local _, at, letter = string.find(entry, '^[^{]*{\2(%l)%d+:')
  if letter == 'r' then _, at = string.find(entry, '^%d+:', at + 1) end
  return at, letter
end

-- packed returns an id in the form of a message's field in :x, which compact entries have too: a canonical UUID is a byte of value 1 and 16 bytes.
local function packed(id)
  local a, b, c, d, e = string.match(id, '^(%x+)%-(%x+)%-(%x+)%-(%x+)%-(%x+)$')
  if not a or #a ~= 8 or #b ~= 4 or #c ~= 4 or #d ~= 4 or #e ~= 12 or string.find(id, '%u') then return id end
  return '\1' .. string.gsub(a .. b .. c .. d .. e, '%x%x', function(hex) return string.char(tonumber(hex, 16)) end)
end

-- ids_of returns the letter of a compact entry, its subject and its other id as packed, the number of its change, its emoji and whether a reaction is
-- removed. It returns nil for JSON. docs/wire.md says what the subject is.
local function ids_of(entry)
  local at, letter = time_at(entry)
  if not at then return nil end
  local byte, sub = string.byte, string.sub
  local high, low, change = byte(entry, at + 7) or 0, byte(entry, at + 8) or 0, nil
  at = at + 9
  if letter == 'c' then change, at = byte(entry, at), at + 1 end
  local function id(uuid)
    local length = uuid and 16 or byte(entry, at) or 0
    if not uuid then at = at + 1 end
    at = at + length
    return (uuid and '\1' or '') .. sub(entry, at - length, at - 1)
  end
  local subject = id(low % 2 == 1)
  local other = id(low % 4 > 1)
  return letter, subject, other, change, letter == 'x' and id(false), high % 4 > 1
end

-- parse_head returns the parts of a head: the last seq, the number of messages and, from level 3 of the log on, the number of tombstones and the seq of the
-- last message, 0 if that is unknown. It returns nil for another text.
local function parse_head(head)
  local seq, messages, deleted, last = string.match(head, '^(%d+):(%d+):(%d+):(%d+)$')
  if not seq then seq, messages = string.match(head, '^(%d+):(%d+)$') end
  return tonumber(seq), tonumber(messages), tonumber(deleted), tonumber(last)
end

-- head_of returns the last seq of a chat, 0 if the chat does not exist, nil, and the other parts of the head. It returns nil and the fault if the head is
-- unreadable, or if it is missing although other keys of the chat exist.
local function head_of(prefix, chat)
  local base = prefix .. chat
  local head = call('HGET', base .. ':x', ' ')
  if head then
    local seq, messages, deleted, last = parse_head(head)
    if seq and seq > 0 then return seq, nil, messages, deleted, last end
    return nil, 'the head is unreadable'
  end
  if chat == '' then return 0 end
  local plain = string.gsub(chat, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end)
  if call('EXISTS', base .. ':x', base .. ':u', base .. ':d', base .. ':0') > 0 or call('SISMEMBER', prefix .. 'chats', plain) == 1 then
    return nil, 'the head is missing'
  end
  return 0
end

-- lengths holds the segments that this call has checked: '' for a complete one, or its fault.
local lengths = {}

-- incomplete returns the fault of a segment, or nil if it has as many entries as the head says.
local function incomplete(base, segment, head)
  local key = base .. ':' .. segment
  if not lengths[key] then
    local expected = math.min(head - segment * SEGMENT, SEGMENT)
    local length = call('LLEN', key)
    lengths[key] = length == expected and '' or string.format('segment %d has %d entries, by the head %d', segment, length, expected)
  end
  return lengths[key] ~= '' and lengths[key] or nil
end

-- message_before returns the seq, the entry and the type of the first entry that has the ordinal of the one at high: the last message up to high or, in a
-- chat without messages, the first event. It moves away from high in doubling steps and then halves. read returns the ordinal, the entry and the type at
-- a seq; it returns nil after a fault, and so does message_before.
local function message_before(high, read)
  local ordinal, found, kind = read(high)
  if not ordinal then return nil, found end
  local step, low = 1, 0 -- high has the ordinal, low has not
  while kind ~= 'message:new' and high - low > 1 do
    local probe = low > 0 and low + math.floor((high - low) / 2) or math.max(high - step, 1)
    local there, entry, of = read(probe)
    if not there then return nil, entry end
    if there == ordinal then
      high, found, kind, step = probe, entry, of, step * 2
      if probe == 1 then break end
    else
      low = probe
    end
  end
  return high, found, kind
end
