-- Changes a rule of a partition if it is still the one that was read.
--
-- KEYS  the partition's id key, the hash of its holds or of its policies
-- ARGV  log id, field of the rule, its text as it was read ('' for none), the new one ('' removes it)
-- Reply 1 if the rule is the new one, 0 if it is neither, -1 if the partition belongs to another log

local id, rules, log_id, field, before, after = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', id) ~= log_id then return -1 end
local present = redis.call('HGET', rules, field) or ''
if present == after then return 1 end
if present ~= before then return 0 end
if after == '' then redis.call('HDEL', rules, field) else redis.call('HSET', rules, field, after) end
return 1
