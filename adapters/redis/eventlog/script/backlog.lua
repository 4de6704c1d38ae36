-- Reads ranges of several chats of a partition, as they were encoded.
--
-- KEYS  the partition's id key, its delivery stream
-- ARGV  log id, bytes that make a reply large enough, id of an entry that must be in the stream or '', then for each range: chat as in keys, first
--       seq, maximum number of events
-- Reply {last id of the stream or '', for each range: {head, event, event, …}, or {-2, seq, cause} if a key or an event of the chat is missing at that
--       seq}, {-1} if the partition belongs to another log, or {} if the entry is gone. Once the reply is large enough, a range contains one event

local log_id, budget, earlier = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if call('GET', KEYS[1]) ~= log_id then return {-1} end

if earlier ~= '' and #call('XRANGE', KEYS[2], earlier, earlier) == 0 then return {} end

local prefix = string.sub(KEYS[1], 1, -3)

local function page_of(chat, seq, limit)
  local base = prefix .. chat
  local head, missing = head_of(prefix, chat)
  if not head then return {-2, 0, missing} end
  local page = {head}
  local last = math.min(head, seq + limit - 1)
  while seq <= last do
    local segment, index = segment_of(seq)
    missing = incomplete(base, segment, head)
    if missing then return #page > 1 and page or {-2, seq, missing} end
    local stop = budget > 0 and math.min(last, (segment + 1) * SEGMENT, seq + 15) or seq
    for _, event in ipairs(call('LRANGE', base .. ':' .. segment, index, (stop - 1) % SEGMENT)) do
      page[#page + 1] = event
      budget = budget - #event
    end
    if budget <= 0 then break end
    seq = stop + 1
  end
  return page
end

local last = call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', '1')[1]
local reply = {last and last[1] or ''}
for a = 4, #ARGV, 3 do
  local ok, page = pcall(page_of, ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]))
  if not ok then
    local text = type(page) == 'table' and page.err or tostring(page)
    if not string.find(text, 'WRONGTYPE', 1, true) then return redis.error_reply(text) end
    page = {-2, 0, text} -- one chat must not block the others
  end
  reply[#reply + 1] = page
end
return reply
