-- Makes a small write like an append.
--
-- KEYS  the partition's id key, the key to write
-- ARGV  log id, TTL of the value in milliseconds
-- Reply 1, or 0 if the partition belongs to another log

local id, written, log_id, ttl = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.call('GET', id) ~= log_id then return 0 end
redis.call('SET', written, '1', 'PX', ttl)
return 1
