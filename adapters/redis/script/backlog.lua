-- Reads stretches of several chats of a partition, as they were encoded.
--
-- KEYS  the partition's id key, its delivery stream
-- ARGV  log id, bytes that make a reply large enough, id of an entry that has to be in the stream or '', then for each stretch: chat as in keys, first seq, events at most
-- Reply {last id of the stream or '', for each stretch: {head, event, event, …}}, {-1} if the partition belongs to another log, or {} if the
--       entry is gone. Once the reply is large enough a stretch is given one event

local SEGMENT = 1024

local log_id, budget, earlier = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if redis.call('GET', KEYS[1]) ~= log_id then return {-1} end

if earlier ~= '' and #redis.call('XRANGE', KEYS[2], earlier, earlier) == 0 then return {} end

local prefix = string.sub(KEYS[1], 1, -3)
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', '1')[1]
local reply = {last and last[1] or ''}
for a = 4, #ARGV, 3 do
  local base, seq, limit = prefix .. ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local head = tonumber(string.match(redis.call('HGET', base .. ':x', ' ') or '0', '^%d+'))
  local page = {head}
  local last = math.min(head, seq + limit - 1)
  while seq <= last do
    local segment = math.floor((seq - 1) / SEGMENT)
    local stop = budget > 0 and math.min(last, (segment + 1) * SEGMENT, seq + 15) or seq
    local events = redis.call('LRANGE', base .. ':' .. segment, (seq - 1) % SEGMENT, (stop - 1) % SEGMENT)
    for _, event in ipairs(events) do
      page[#page + 1] = event
      budget = budget - #event
    end
    if #events < stop - seq + 1 or budget <= 0 then break end
    seq = stop + 1
  end
  reply[#reply + 1] = page
end
return reply
