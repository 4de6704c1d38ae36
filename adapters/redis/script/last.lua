-- Finds the last message of several chats of a partition: the first entry that has the ordinal of the head. In a chat without messages that is the
-- first entry, which created the chat.
--
-- KEYS  the partition's id key
-- ARGV  log id, chats as in keys
-- Reply {for each chat: seq, timestamp; 0, '' for a chat that does not exist, and -2, WHAT if something of the chat is missing}, fewer than asked
--       for if the call has looked at enough entries, or {-1} if the partition belongs to another log

local PROBES = 512
if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end

local prefix = string.sub(KEYS[1], 1, -3)
local spent = 0

-- entry_at returns the ordinal and the entry of a seq, or nil and what is wrong.
local function entry_at(base, seq, head)
  local segment, index = segment_of(seq)
  local fault = incomplete(base, segment, head)
  if fault then return nil, fault end
  spent = spent + 1
  local entry = call('LINDEX', base .. ':' .. segment, index)
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
  return high, string.match(found, '"timestamp":"([^"]*)"')
end

local reply = {}
for i = 2, #ARGV do
  if spent >= PROBES then break end
  reply[#reply + 1], reply[#reply + 2] = last_of(ARGV[i])
end
return reply
