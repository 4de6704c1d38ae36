-- Finds the last message of several chats of a partition: the one that the head names or, if it names none, the first entry that has the ordinal of the
-- head. In a chat without messages that is the first entry, which created the chat.
--
-- KEYS  the partition's id key
-- ARGV  log id, '1' for entries or '' for timestamps, chats as in keys
-- Reply {for each chat: seq, timestamp (of a compact entry milliseconds since 1970) or entry; 0, '' for a chat that does not exist, and -2, CAUSE if a key or an event of the chat is missing},
--       fewer chats if the call has read enough entries, or {-1} if the partition belongs to another log

local PROBES, WEIGHT = 512, 4096 -- an entry counts as one, and one more for each WEIGHT bytes
if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end

local prefix = string.sub(KEYS[1], 1, -3)
local spent = 0

-- entry_at returns the ordinal, the entry and its type for a seq, or nil and the fault.
local function entry_at(base, seq, head)
  local segment, index = segment_of(seq)
  local fault = incomplete(base, segment, head)
  if fault then return nil, fault end
  local entry = call('LINDEX', base .. ':' .. segment, index)
  spent = spent + 1 + math.floor(#entry / WEIGHT)
  local ordinal, kind = event_of(entry, seq)
  if not ordinal then return nil, 'an entry is not that of its seq' end
  return ordinal, entry, kind
end

-- time_of returns the time of an entry: the timestamp of JSON, or milliseconds.
local function time_of(entry)
  local at = time_at(entry)
  if not at then return string.match(entry, '"timestamp":"([^"]*)"') end
  local ms = 0
  for i = 1, 6 do ms = ms * 256 + (string.byte(entry, at + i) or 0) end
  return string.format('%d', ms < 2 ^ 47 and ms or ms - 2 ^ 48)
end

local function last_of(chat)
  local head, missing, messages, _, last = head_of(prefix, chat)
  if not head then return -2, missing end
  if head == 0 then return 0, '' end
  local base = prefix .. chat
  local known = last and last > 0 and last <= head
  local seq, found, kind = message_before(known and last or head, function(probe) return entry_at(base, probe, head) end)
  if not seq then return -2, found end
  if known and (seq ~= last or kind ~= 'message:new' or event_of(found, seq) ~= messages) then return -2, 'the head names another event as the last message' end
  return seq, ARGV[2] == '1' and found or time_of(found)
end

local reply = {}
for i = 3, #ARGV do
  if spent >= PROBES then break end
  local ok, seq, text = pcall(last_of, ARGV[i])
  if not ok then
    text = type(seq) == 'table' and seq.err or tostring(seq)
    if not string.find(text, 'WRONGTYPE', 1, true) then error(seq) end
    seq = -2
  end
  reply[#reply + 1], reply[#reply + 2] = seq, text
end
return reply
