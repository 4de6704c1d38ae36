-- Reads a range of one chat's log.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, first seq or 0 for the start of the direction, '1' to read backwards, maximum number of events, last seq that counts
--       or 0 for all
-- Reply {head, seq of the first event returned, event, event, … oldest first}, {-1} if the partition belongs to another log, or {-2, seq, cause} if a
--       key or an event of the chat is missing at that seq

local log_id, chat, from, backward, limit, until_seq = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
if call('GET', KEYS[1]) ~= log_id then return {-1} end

local prefix = string.sub(KEYS[1], 1, -3)
local base = prefix .. chat
local head, missing = head_of(prefix, chat)
if not head then return {-2, 0, missing} end

local first, last = nil, head
if until_seq > 0 and until_seq < last then last = until_seq end
if backward then
  if from > 0 and from < last then last = from end
  first = math.max(1, last - limit + 1)
else
  first = math.max(1, from)
  last = math.min(last, first + limit - 1)
end
if first > last then return {head, 0} end

local reply = {head, first}
local seq = first
while seq <= last do
  local segment, index = segment_of(seq)
  missing = incomplete(base, segment, head)
  if missing then return {-2, seq, missing} end
  local stop = math.min(last, (segment + 1) * SEGMENT)
  for _, event in ipairs(call('LRANGE', base .. ':' .. segment, index, (stop - 1) % SEGMENT)) do reply[#reply + 1] = event end
  seq = stop + 1
end
return reply
