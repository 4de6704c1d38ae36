-- Replaces the number of one user in one chat, regardless of the versions, or recounts the user's numbers.
--
-- KEYS  the user's numbers, their versions; see view.lua
-- ARGV  log id, chat or '' to recount only, old version and number or '' for none, new version, new number or '' for none; and for the view of users'
--       chats a channel, and the user, which is published there if a number was replaced
-- Reply 1, or 0 if the old values have changed
--
-- The version is written last: if a write is refused, the same call completes the rest.

local numbers, versions, log, chat = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local known = redis.call('HMGET', versions, ' ', chat, ' #')
redis.call('HLEN', numbers)
if known[1] and known[1] ~= log then return 0 end
if chat == '' then
  local count, fields = 0, redis.call('HGETALL', versions)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) ~= ' ' and string.match(fields[i + 1], '^%d+:?%d*$') then count = count + 1 end
  end
  redis.call('HSET', versions, ' ', log, ' #', string.format('%d', count))
  return 1
end
local before, count = known[2] or '', tonumber(known[3] or 0) or 0
local version, number = ARGV[5], ARGV[6]
local now = redis.call('HGET', numbers, chat) or ''
if before ~= ARGV[3] or now ~= ARGV[4] and now ~= number then return 0 end
if string.match(before, '^%d+:?%d*$') then count = math.max(count - 1, 0) end
version = version .. (string.match(before, ':%d+') or '') -- the epoch of the last rebuild
if number == '' then
  version = version .. '-'
  redis.call('HDEL', numbers, chat)
else
  count = count + 1
  redis.call('HSET', numbers, chat, number)
end
redis.call('HSET', versions, ' ', log, chat, version, ' #', string.format('%d', count))
if ARGV[7] then redis.pcall('PUBLISH', ARGV[7], ARGV[8]) end
return 1
