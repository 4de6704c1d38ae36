-- Writes the last messages of chats to the partition's index of them, each unless an entry with at least its seq exists.
--
-- KEYS  the partition's id key; the index, HASH chat → seq:time
-- ARGV  log id; for each chat: the chat, seq, time in Unix milliseconds, '1' to replace a greater seq too
-- Reply {number of entries written}, or {-1} if the partition belongs to another log
--
-- The index is a cache: a value of another type under its key is replaced.

local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end

local chats = {}
for i = 2, #ARGV, 4 do chats[#chats + 1] = ARGV[i] end
local known = redis.pcall('HMGET', KEYS[2], unpack(chats))
if known.err then
  if not string.find(known.err, 'WRONGTYPE', 1, true) then return known end
  call('DEL', KEYS[2])
  known = {}
end

local written = {}
for c = 1, #chats do
  local i = 4 * c - 2
  local there = tonumber(string.match(known[c] or '', '^(%d+):') or 0)
  if ARGV[i + 3] == '1' or there < tonumber(ARGV[i + 1]) then
    written[#written + 1] = ARGV[i]
    written[#written + 1] = ARGV[i + 1] .. ':' .. ARGV[i + 2]
  end
end
if #written > 0 then call('HSET', KEYS[2], unpack(written)) end
return {#written / 2}
