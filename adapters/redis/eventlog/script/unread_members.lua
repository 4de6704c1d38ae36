-- Counts the unread messages of many users in one chat atomically.
--
-- KEYS  the partition's id key
-- ARGV  log id; the versions of chat:update, message:new and read:receipt that the caller reads; chat as in keys; MOST; users
-- Reply {the chat's last seq, 0 if the chat does not exist; the number of present and former members; for each user the number of messages, -1 or -2, see
--       marks.lua, joined by spaces; and, unless ARGV has users, the users: all present and former members, or none if they are more than MOST};
--       {-2, 0, CAUSE} if a key of the chat is missing, or {-1} if the partition belongs to another log

if call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
reads_versions(ARGV[2], ARGV[3], ARGV[4])
local prefix, name = string.sub(KEYS[1], 1, -3), ARGV[5]
local head, missing = head_of(prefix, name)
if not head then return {-2, 0, missing} end
if head == 0 then return {0, 0, '', {}} end

local base = prefix .. name
local index, members = base .. ':x', call('HLEN', base .. ':u')
local users, listed = {unpack(ARGV, 7)}, nil
if #users == 0 then
  local expected = call('HGET', index, ' #u') or '0'
  if format('%d', members) ~= expected then return {-2, 0, format('the chat has %d members, by the index %s', members, expected)} end
  if members <= tonumber(ARGV[6]) then users = call('HKEYS', base .. ':u') end
  listed = users
end

local fields = {' ', ' #d'}
for i, user in ipairs(users) do fields[i + 2] = ' r' .. user end
local marks = call('HMGET', index, unpack(fields))
local chat, counts = countable(base, marks[1], marks[2]), {}
for i, user in ipairs(users) do counts[i] = format('%d', unread_of(chat, user, marks[i + 2])) end
return {head, members, table.concat(counts, ' '), listed}
