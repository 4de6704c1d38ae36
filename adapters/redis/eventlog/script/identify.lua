-- Creates the record of a log, unless there is one, and returns it.
--
-- KEYS  cc:log
-- ARGV  fields and values of a new record
-- Reply fields and values of the stored record

if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return redis.call('HGETALL', KEYS[1])
