-- Finds the last message of several chats of a partition: the first entry that has the ordinal of the head. In a chat without messages that is the
-- first entry, which created the chat.
--
-- KEYS  the partition's id key
-- ARGV  log id, '1' for entries or '' for timestamps, chats as in keys
-- Reply {for each chat: seq, timestamp or entry; 0, '' for a chat that does not exist, and -2, CAUSE if a key or an event of the chat is missing},
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
  local here, ordinal, kind = event_of(entry)
  if here ~= seq then return nil, 'an entry is not that of its seq' end
  return ordinal, entry, kind
end

local function last_of(chat)
  local head, missing = head_of(prefix, chat)
  if not head then return -2, missing end
  if head == 0 then return 0, '' end
  local base = prefix .. chat
  local ordinal, found, kind = entry_at(base, head, head)
  if not ordinal then return -2, found end
  local high, step, low = head, 1, 0 -- high has the ordinal, low has not
  while kind ~= 'message:new' and high - low > 1 do
    local probe = low > 0 and low + math.floor((high - low) / 2) or math.max(high - step, 1)
    local there, entry, of = entry_at(base, probe, head)
    if not there then return -2, entry end
    if there == ordinal then
      high, found, kind, step = probe, entry, of, step * 2
      if probe == 1 then break end
    else
      low = probe
    end
  end
  return high, ARGV[2] == '1' and found or string.match(found, '"timestamp":"([^"]*)"')
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
