-- Gives a lane back.
--
-- KEYS  the group
-- ARGV  epoch
-- Reply 1, or 0 if another owner came since

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'until', '0')
return 1
