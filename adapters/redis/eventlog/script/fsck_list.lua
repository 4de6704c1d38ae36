-- Corrects the set of a partition's chats and their count.
--
-- KEYS  the partition's id key
-- ARGV  log id, a chat that is missing or '', '1' to correct the count or ''
-- Reply 1 if something was corrected, 0 if not, -1 if the partition belongs to another log

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local prefix = string.sub(KEYS[1], 1, -3)
local changed = 0
if ARGV[2] ~= '' then changed = redis.call('SADD', prefix .. 'chats', ARGV[2]) end
if ARGV[3] ~= '' then
  local chats, count = string.format('%d', redis.call('SCARD', prefix .. 'chats')), redis.call('GET', prefix .. 'count') or '0'
  if count ~= chats then
    redis.call('SET', prefix .. 'count', chats)
    changed = 1
  end
end
return changed
