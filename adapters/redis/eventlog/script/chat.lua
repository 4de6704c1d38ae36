-- Shared by the scripts that read a chat's log. Each read compares the elements it got with the chat's head.

local SEGMENT = 1024
local call = redis.call

-- segment_of returns the segment of a seq and the seq's index in it.
local function segment_of(seq)
  return math.floor((seq - 1) / SEGMENT), (seq - 1) % SEGMENT
end

-- event_of returns the seq, the ordinal and the type of a stored event, or nil. The log writes these fields before all fields with values from
-- callers except the event id, and JSON strings contain no unescaped quote. So the first match is never content.
local function event_of(entry)
  local kind, seq, ordinal = string.match(entry, '"type":"([^"]*)","v":%d+,"timestamp":"[^"]*","seq":(%d+),"ordinal":(%d+)')
  if kind then return tonumber(seq), tonumber(ordinal), kind end
end

-- head_of returns the last seq of a chat, 0 if the chat does not exist. It returns nil and the fault if the head is unreadable, or if it is missing
-- although other keys of the chat exist.
local function head_of(prefix, chat)
  local base = prefix .. chat
  local head = call('HGET', base .. ':x', ' ')
  if head then
    local seq = tonumber(string.match(head, '^(%d+):%d+$'))
    if seq and seq > 0 then return seq end
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
