-- Counts the unread messages of one user in several chats atomically.
--
-- KEYS  the id key of each partition
-- ARGV  user; the versions of chat:update, message:new and read:receipt that the caller reads; for each partition its log id; for each chat the place
--       of its partition, from 1, and the chat as in keys
-- Reply {0, for each chat the number of messages, -1 or -2, see marks.lua}; {-1, place} if a partition belongs to another log

local user, partitions = ARGV[1], #KEYS
local other = foreign(2)
if other then return {-1, other} end

local reply = {0}
for c = 5 + partitions, #ARGV, 2 do
  local base = sub(KEYS[tonumber(ARGV[c])], 1, -3) .. ARGV[c + 1]
  local entries = call('HMGET', base .. ':x', ' ', ' #d', ' r' .. user)
  local chat = countable(base, entries[1], entries[2])
  reply[#reply + 1] = chat and unread_of(chat, user, entries[3]) or -2
end
return reply
