-- Names the log on first use and tells what it was named.
--
-- KEYS  the log's record
-- ARGV  an id for the log if it has none, partitions, hash
-- Reply {log id, partitions, hash, '1' once every partition knows the log id}

local record, fresh_id, partitions, hash = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', record) == 0 then
  redis.call('HSET', record, 'log_id', fresh_id, 'partitions', partitions, 'hash', hash, 'ready', '0')
end
return redis.call('HMGET', record, 'log_id', 'partitions', 'hash', 'ready')
