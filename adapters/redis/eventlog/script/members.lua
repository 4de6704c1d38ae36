-- Counts the unread messages of many users in several chats atomically.
--
-- KEYS  the id key of each partition
-- ARGV  the versions of chat:update, message:new and read:receipt that the caller reads; for each partition its log id; for each chat the place of its
--       partition, from 1, the chat as in keys, MOST, AFTER, the number of users, and the users
-- Reply {0, for each chat two elements, fewer chats if the call has counted enough users}: numbers that are joined by spaces, which are its last seq, the
--       number of present and former members by the index, and for each user the number of messages, -1 or -2, see marks.lua, or -3 if the user left at
--       AFTER or before; and, if ARGV has no users for it and there are at most MOST, all present and former members, joined by line feeds. '0 0' stands for
--       a chat that does not exist, '-2 CAUSE' for one of which a key is missing. {-1, place} if a partition belongs to another log
--
-- The reply is flat: each list in a list costs Redis several microseconds.

local ENOUGH = 512 -- users: about a millisecond
local partitions, spent = #KEYS, 0
local other = foreign(1)
if other then return {-1, other} end

-- marks_of reads fields of the index, and the read marks of the users from first to last in a list.
local function marks_of(index, users, first, last)
  local fields = {' ', ' #d', ' #u'}
  for i = first, last do fields[#fields + 1] = ' r' .. users[i] end
  return call('HMGET', index, unpack(fields))
end

-- leave_out replaces the counts of users that left at a seq or before. first is the place of the first user in the list.
local function leave_out(chat, users, first, counts, after)
  local left, fields = {}, {}
  for i, count in ipairs(counts) do
    if count == -1 then left[#left + 1], fields[#fields + 1] = i, ' u' .. users[first + i - 1] end
  end
  if #left == 0 then return end
  local members = chat.head > after and call('HMGET', chat.base .. ':x', unpack(fields)) or {}
  for k, i in ipairs(left) do
    if tonumber(match(members[k] or '0', '^%d+') or 0) <= after then counts[i] = -3 end
  end
end

local texts = {} -- of numbers

local function text_of(number)
  local text = texts[number]
  if not text then
    text = format('%d', number)
    texts[number] = text
  end
  return text
end

-- count_in returns the elements of the reply for a chat with the users from first to last in ARGV.
local function count_in(prefix, name, most, after, first, last)
  local base = prefix .. name
  local users, listed, entries = ARGV, '', marks_of(base .. ':x', ARGV, first, last)
  local chat, members = countable(base, entries[1], entries[2]), tonumber(entries[3] or 0)
  if not chat or chat.head == 0 then
    local head, missing = head_of(prefix, name)
    return head and '0 0' or '-2 ' .. missing, ''
  end
  if last < first and members and members <= most then
    users = call('HKEYS', base .. ':u')
    listed, first, last = table.concat(users, '\n'), 1, #users
    entries = marks_of(base .. ':x', users, first, last)
    if last ~= members then members = nil end
  end
  if not members then return '-2 the index has another number of members', '' end
  local counts = {}
  for i = first, last do counts[i - first + 1] = unread_of(chat, users[i], entries[i - first + 4]) end
  if after > 0 then leave_out(chat, users, first, counts, after) end
  spent = spent + 1 + #counts
  for i = 1, #counts do counts[i] = text_of(counts[i]) end
  return text_of(chat.head) .. ' ' .. text_of(members) .. ' ' .. table.concat(counts, ' '), listed
end

local reply, c = {0}, 4 + partitions
while c <= #ARGV and spent < ENOUGH do
  local last = c + 4 + tonumber(ARGV[c + 4])
  local prefix = sub(KEYS[tonumber(ARGV[c])], 1, -3)
  local ok, numbers, users = pcall(count_in, prefix, ARGV[c + 1], tonumber(ARGV[c + 2]), tonumber(ARGV[c + 3]), c + 5, last)
  if not ok then
    local cause = type(numbers) == 'table' and numbers.err or tostring(numbers)
    if not string.find(cause, 'WRONGTYPE', 1, true) then error(numbers) end
    numbers, users = '-2 ' .. cause, ''
  end
  reply[#reply + 1], reply[#reply + 2] = numbers, users
  c = last + 1
end
return reply
