-- Releases a partition.
--
-- KEYS  the group
-- ARGV  epoch, ms that an owner before the caller may still start handlers, or 0
-- Reply 1, or 0 if another owner has acquired it since

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'until', '0', 'overlap', ARGV[2])
return 1
