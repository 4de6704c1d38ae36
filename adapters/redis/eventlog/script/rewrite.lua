-- Replaces a closed segment of a chat by the same events in another form.
--
-- KEYS  the partition's id key, a list with the new entries
-- ARGV  log id, chat as in keys, segment, then the SHA-1 of each 128 entries that the segment must still have
-- Reply 1; 0, and nothing is written, if the segment is not closed, has changed since or the list is not complete; -1 if the partition belongs to another
--       log
--
-- A closed segment is full, and the head is in a later one: no append writes to it.

local SEGMENT, TOGETHER = 1024, 128
local id, list, log_id, chat, segment = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('GET', id) ~= log_id then return -1 end

local base = string.sub(id, 1, -3) .. chat
local head = tonumber(string.match(redis.call('HGET', base .. ':x', ' ') or '', '^%d+') or 0)
local key = base .. ':' .. string.format('%d', segment)
if head <= (segment + 1) * SEGMENT or redis.call('LLEN', key) ~= SEGMENT or redis.call('LLEN', list) ~= SEGMENT then return 0 end
for i = 4, 3 + SEGMENT / TOGETHER do
  local from = (i - 4) * TOGETHER
  if redis.sha1hex(table.concat(redis.call('LRANGE', key, from, from + TOGETHER - 1))) ~= ARGV[i] then return 0 end
end
redis.call('PERSIST', list) -- before it becomes the segment
redis.call('RENAME', list, key)
return 1
