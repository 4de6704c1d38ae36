-- A handler was started.
-- KEYS  1 records, a list
-- ARGV  1 the delivery
local records, delivery = KEYS[1], ARGV[1]
local now = redis.call('TIME')
redis.call('RPUSH', records, table.concat({'started', string.format('%.0f', now[1] * 1000000 + now[2]), delivery}, '\t'))
return 'started'
