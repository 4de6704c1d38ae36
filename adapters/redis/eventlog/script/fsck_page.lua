-- Reads entries of one segment of a chat unchecked, with the values that must agree with their number.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, segment, index of the first entry, maximum number of entries
-- Reply {head or '', length of the segment, length of the next one, entry, entry, …}, or {-1} if the partition belongs to another log

local log_id, chat, segment, first, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('GET', KEYS[1]) ~= log_id then return {-1} end

local base = string.sub(KEYS[1], 1, -3) .. chat
local reply = {
  redis.call('HGET', base .. ':x', ' ') or '',
  redis.call('LLEN', base .. ':' .. string.format('%d', segment)),
  redis.call('LLEN', base .. ':' .. string.format('%d', segment + 1)),
}
if limit > 0 then
  for _, entry in ipairs(redis.call('LRANGE', base .. ':' .. string.format('%d', segment), first, first + limit - 1)) do reply[#reply + 1] = entry end
end
return reply
