-- Returns of several chats of a partition what a user's list of chats has beside the states of entities: the number of unread messages, and the last message as
-- the view has it.
--
-- KEYS  the partition's id key; the view, see previews.lua
-- ARGV  log id; user; the versions of chat:update, message:new and read:receipt that the caller reads; the chats as in keys
-- Reply {0, for each chat two elements}: the number of messages, -1 or -2, see marks.lua; and the entry of the view if it is the last message in its present
--       state, '-' if the chat has no message, or '' if the caller must read the message. {-1} if the partition belongs to another log

if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
versions = {['chat:update'] = tonumber(ARGV[3]), ['message:new'] = tonumber(ARGV[4]), ['read:receipt'] = tonumber(ARGV[5])}

local user, prefix = ARGV[2], sub(KEYS[1], 1, -3)
local entries = redis.pcall('HMGET', KEYS[2], unpack(ARGV, 6)) -- a view of another type has no entries; the calls below meet any other error, too

-- last_of returns the last message of a chat.
local function last_of(base, head, entry)
  local _, messages, _, last = parse_head(head or '')
  if messages == 0 then return '-' end
  if not entry or last == 0 then return '' end
  local version, seq, length, from = match(entry, '^(%d+):(%d+):(%d+):()')
  if not version or tonumber(seq) ~= last then return '' end
  local there = call('HGET', base .. ':x', packed(sub(entry, from, from + length - 1)))
  return there and match(there, '^%d+') == version and entry or ''
end

local reply = {0}
for i = 6, #ARGV do
  local base = prefix .. ARGV[i]
  local marks = call('HMGET', base .. ':x', ' ', ' #d', ' r' .. user)
  local chat = countable(base, marks[1], marks[2])
  reply[#reply + 1] = chat and unread_of(chat, user, marks[3]) or -2
  reply[#reply + 1] = last_of(base, marks[1], entries[i - 5])
end
return reply
