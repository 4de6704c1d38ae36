-- Counts the unread messages of many users in several chats atomically.
--
-- KEYS  the id key of each partition
-- ARGV  the versions of chat:update, message:new and read:receipt that the caller reads; for each partition its log id; for each chat the place of its
--       partition, from 1, the chat as in keys, MOST, the number of users, and the users
-- Reply {0, for each chat four elements: its last seq, 0 if it does not exist; the number of present and former members by the index; for each user the
--       number of messages, -1 or -2, see marks.lua, joined by spaces; and, unless ARGV has users, the users: all present and former members, or none if
--       they are more than MOST. -2, 0, CAUSE, '' if a key of the chat is missing}, with fewer chats if the call has counted enough users;
--       {-1, place} if a partition belongs to another log

local ENOUGH = 1024 -- about half a millisecond
local partitions, spent = #KEYS, 0
reads_versions(ARGV[1], ARGV[2], ARGV[3])
for p = 1, partitions do
  if call('GET', KEYS[p]) ~= ARGV[3 + p] then return {-1, p} end
end

-- marks_of reads fields of the index, and the read marks of the users from first to last in a list.
local function marks_of(index, users, first, last)
  local fields = {' ', ' #d', ' #u'}
  for i = first, last do fields[#fields + 1] = ' r' .. users[i] end
  return call('HMGET', index, unpack(fields))
end

-- count_in returns the elements of the reply for a chat with the users from first to last in ARGV.
local function count_in(prefix, name, most, first, last)
  local base = prefix .. name
  local users, listed, entries = ARGV, '', marks_of(base .. ':x', ARGV, first, last)
  local chat, members = countable(base, entries[1], entries[2]), tonumber(entries[3] or 0)
  if not chat or chat.head == 0 then
    local head, missing = head_of(prefix, name)
    if not head then return -2, 0, missing, '' end
    return 0, 0, '', ''
  end
  if last < first and members and members <= most then
    users = call('HKEYS', base .. ':u')
    listed, first, last = users, 1, #users
    entries = marks_of(base .. ':x', users, first, last)
    if last ~= members then members = nil end
  end
  if not members then return -2, 0, 'the index has another number of members', '' end
  local counts = {}
  for i = first, last do counts[i - first + 1] = unread_of(chat, users[i], entries[i - first + 4]) end
  spent = spent + 1 + #counts
  return chat.head, members, table.concat(counts, ' '), listed
end

local reply, c = {0}, 4 + partitions
while c <= #ARGV and spent < ENOUGH do
  local last = c + 3 + tonumber(ARGV[c + 3])
  local prefix = string.sub(KEYS[tonumber(ARGV[c])], 1, -3)
  local ok, head, members, counts, users = pcall(count_in, prefix, ARGV[c + 1], tonumber(ARGV[c + 2]), c + 4, last)
  if not ok then
    local cause = type(head) == 'table' and head.err or tostring(head)
    if not string.find(cause, 'WRONGTYPE', 1, true) then error(head) end
    head, members, counts, users = -2, 0, cause, ''
  end
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = head, members, counts, users
  c = last + 1
end
return reply
