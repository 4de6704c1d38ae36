-- Writes the last messages of chats to the partition's view, each if its message is the last one and of the given version. A chat's entry with the same version is
-- replaced.
--
-- KEYS  the partition's id key; the view, HASH chat as in keys → entry
-- ARGV  log id; for each chat: the chat as in keys, the seq of the message, its version, its id, the entry
-- Reply {number of entries written}, or {-1} if the partition belongs to another log
--
-- An entry is version:seq:length of the message's id: and then the id, Unix milliseconds:attachments:1 if deleted, or 0:length of the sender's id: and then the
-- sender and the preview. The view is a cache: a value of another type under its key is replaced.

if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end

local prefix = string.sub(KEYS[1], 1, -3)
local written = {}
for i = 2, #ARGV, 5 do
  local index = prefix .. ARGV[i] .. ':x'
  local known = redis.pcall('HMGET', index, ' ', packed(ARGV[i + 3]))
  if known.err and not string.find(known.err, 'WRONGTYPE', 1, true) then return known end
  if known[1] and known[2] then
    local _, messages, _, last = parse_head(known[1])
    local there = string.match(known[2], '^%d+')
    if messages and messages > 0 and (not last or last == 0 or last == tonumber(ARGV[i + 1])) and there == ARGV[i + 2] then
      written[#written + 1], written[#written + 2] = ARGV[i], ARGV[i + 4]
    end
  end
end
if #written == 0 then return {0} end
local put = redis.pcall('HSET', KEYS[2], unpack(written))
if type(put) == 'table' and put.err then
  if not string.find(put.err, 'WRONGTYPE', 1, true) then return put end
  call('DEL', KEYS[2])
  call('HSET', KEYS[2], unpack(written))
end
return {#written / 2}
