-- A handler was started. A call that is repeated because its reply was lost, for example by a worker that was frozen, records nothing more.
-- KEYS  1 records, a list; 2 recorded starts, a set
-- ARGV  1 the delivery
local records, starts, delivery = KEYS[1], KEYS[2], ARGV[1]
if redis.call('SADD', starts, delivery) == 0 then return 'started' end
local now = redis.call('TIME')
redis.call('RPUSH', records, table.concat({'started', string.format('%.0f', now[1] * 1000000 + now[2]), delivery}, '\t'))
return 'started'
