-- Corrects elements of one chat, each only if it has not changed since the contradiction was found.
--
-- KEYS  the partition's id key, its delivery stream
-- ARGV  log id, chat as in keys, chat, head that the chat must have or '' for any (the corrected head is accepted too), '1' to recount members and
--       tombstones, number of corrections and for each: kind, part of the chat's keys, element, old value, new value; then number of entries for the
--       stream and for each: event id, metadata, payload, seq
-- Reply the number of corrections; 0, and nothing is written, if the head or an element has another value; -1 if the partition belongs to another log
--
-- Kinds are 'h' for a field of a hash, 'z' for a member of a sorted set and 'l' for an index of a list. Old and new values are '-' for none or '+'
-- and the value; the value of a member of a sorted set is its score.
--
-- All keys are read before the first write. An element that already has its new value counts as corrected: if a write is refused, the same call
-- completes the rest. So the element that makes the others count, a head, comes last.

local log_id, chat, name, guard, counts, n = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])
if redis.call('GET', KEYS[1]) ~= log_id then return -1 end

local base = string.sub(KEYS[1], 1, -3) .. chat .. ':'
local reads = {h = 'HGET', z = 'ZSCORE', l = 'LINDEX'}
local head = redis.call('HGET', base .. 'x', ' ')
local guarded = guard == '' or head == guard
for i = 7, 6 + 5 * n, 5 do
  if ARGV[i + 1] == 'x' and ARGV[i + 2] == ' ' and head and ARGV[i + 4] == '+' .. head then guarded = true end
  local value = redis.call(reads[ARGV[i]], base .. ARGV[i + 1], ARGV[i + 2])
  value = value and '+' .. value or '-'
  if value ~= ARGV[i + 3] and value ~= ARGV[i + 4] then return 0 end
end
if not guarded then return 0 end
redis.call('HLEN', base .. 'u')
redis.call('ZCARD', base .. 'd')
local at = 7 + 5 * n
local entries = tonumber(ARGV[at])
if entries > 0 then redis.call('XLEN', KEYS[2]) end

for i = 7, 6 + 5 * n, 5 do
  local kind, key, element, present, value = ARGV[i], base .. ARGV[i + 1], ARGV[i + 2], string.sub(ARGV[i + 4], 1, 1) == '+', string.sub(ARGV[i + 4], 2)
  if kind == 'h' then
    if present then redis.call('HSET', key, element, value) else redis.call('HDEL', key, element) end
  elseif kind == 'z' then
    if present then redis.call('ZADD', key, value, element) else redis.call('ZREM', key, element) end
  else
    redis.call('LSET', key, element, value)
  end
end
if counts then
  local members, tombstones = redis.call('HLEN', base .. 'u'), redis.call('ZCARD', base .. 'd')
  local start, sent = string.match(redis.call('HGET', base .. 'x', ' ') or '', '^(%d+:%d+:)%d+(:%d+)$')
  if start then -- the head counts tombstones
    redis.call('HSET', base .. 'x', ' ', start .. string.format('%d', tombstones) .. sent)
    tombstones = 0
  end
  for field, length in pairs({[' #u'] = members, [' #d'] = tombstones}) do
    if length > 0 then
      redis.call('HSET', base .. 'x', field, string.format('%d', length))
    else
      redis.call('HDEL', base .. 'x', field)
    end
  end
end
for i = at + 1, at + 4 * entries, 4 do
  redis.call('XADD', KEYS[2], '*', '_watermill_message_uuid', ARGV[i], 'metadata', ARGV[i + 1], 'payload', ARGV[i + 2], 'chat', name, 'seq', ARGV[i + 3])
end
return n
