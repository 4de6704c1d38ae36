-- Writes the last messages of chats to the partition's index of them, each unless an entry with at least its seq exists.
--
-- KEYS  the partition's id key; the index, HASH chat → seq:time, or seq:time:b if the chat's next messages are indexed late
-- ARGV  log id; for each chat: the chat, seq or 0 for the existing entry, time in Unix milliseconds, '1' to replace a greater seq too, '1' if the next
--       messages are indexed late
-- Reply {number of entries written}, or {-1} if the partition belongs to another log
--
-- The index is a cache: a value of another type under its key is replaced.

local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end

local chats = {}
for i = 2, #ARGV, 5 do chats[#chats + 1] = ARGV[i] end
local known = redis.pcall('HMGET', KEYS[2], unpack(chats))
if known.err then
  if not string.find(known.err, 'WRONGTYPE', 1, true) then return known end
  call('DEL', KEYS[2])
  known = {}
end

local written = {}
for c = 1, #chats do
  local i = 5 * c - 3
  local seq, value = tonumber(ARGV[i + 1]), ARGV[i + 1] .. ':' .. ARGV[i + 2]
  local before = known[c] or ''
  local there = tonumber(string.match(before, '^(%d+):') or 0)
  if seq == 0 then seq, value = there, string.match(before, '^%d+:%d+') or '' end
  if ARGV[i + 4] == '1' then value = value .. ':b' end
  if seq > 0 and value ~= before and (ARGV[i + 3] == '1' or there <= seq) then
    written[#written + 1] = ARGV[i]
    written[#written + 1] = value
  end
end
if #written > 0 then call('HSET', KEYS[2], unpack(written)) end
return {#written / 2}
