-- Reads a stretch of one chat's log.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, first seq or 0 for the end that the direction starts at, '1' to go backwards, events at most
-- Reply {head, seq of the first event given, event, event, … oldest first}, or {-1} if the partition belongs to another log

local SEGMENT = 1024

local log_id, chat, from, backward, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
if redis.call('GET', KEYS[1]) ~= log_id then return {-1} end

local base = string.sub(KEYS[1], 1, -3) .. chat
local head = tonumber(string.match(redis.call('HGET', base .. ':x', ' ') or '0', '^%d+'))

local first, last
if backward then
  last = (from == 0 or from > head) and head or from
  first = math.max(1, last - limit + 1)
else
  first = math.max(1, from)
  last = math.min(head, first + limit - 1)
end

local reply = {head, first}
local seq = first
while seq <= last do
  local segment = math.floor((seq - 1) / SEGMENT)
  local stop = math.min(last, (segment + 1) * SEGMENT)
  local events = redis.call('LRANGE', base .. ':' .. segment, (seq - 1) % SEGMENT, (stop - 1) % SEGMENT)
  for _, event in ipairs(events) do reply[#reply + 1] = event end
  seq = stop + 1
end
return reply
