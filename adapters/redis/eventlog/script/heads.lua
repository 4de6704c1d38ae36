-- Compares the heads of a page of a partition's chats with the checkpoints of a consumer group.
--
-- Log and delivery stream are written atomically. So if a group has read all entries of the stream, a chat whose head is beyond its checkpoint has
-- events without an entry.
--
-- KEYS  the partition's id key, its chats, its delivery stream, the group's checkpoints: HASH chat → seq
-- ARGV  log id, cursor, about how many chats to compare
-- Reply {next cursor, 0 after the last page; chats of the partition; chats compared; id of the stream's last entry or ''; stored count of the
--       partition's chats; then chat and head of each chat whose head is beyond its checkpoint, -1 for a missing or unreadable head}, or {-1} if the
--       partition belongs to another log

local id, chats, stream, checkpoints = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local log_id, cursor, count = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', id) ~= log_id then return {-1} end

local base = string.sub(id, 1, -3)
local function hex(c) return string.format('%%%02X', string.byte(c)) end
local scan = redis.call('SSCAN', chats, cursor, 'COUNT', count)
local names = scan[2]
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', '1')[1]
local reply = {scan[1], redis.call('SCARD', chats), #names, last and last[1] or '', redis.call('GET', base .. 'count') or '0'}
for from = 1, #names, 1000 do
  local to = math.min(from + 999, #names)
  local saved = redis.call('HMGET', checkpoints, unpack(names, from, to))
  for i = from, to do
    local name = names[i]
    local escaped = string.gsub(name, '[%c %%:{}*?%[%]\\]', hex)
    local head = redis.pcall('HGET', base .. escaped .. ':x', ' ')
    head = type(head) == 'string' and tonumber(string.match(head, '^(%d+):%d+$') or string.match(head, '^(%d+):%d+:%d+:%d+$')) or -1
    if head < 1 or head > (tonumber(saved[i - from + 1] or 0) or 0) then
      reply[#reply + 1] = name
      reply[#reply + 1] = head
    end
  end
end
return reply
