-- Reads a definition, and the time at which it may be changed.
--
-- KEYS  the hash of the definitions
-- ARGV  the group
-- Reply {time in milliseconds, the definition or '' if there is none}

local time = redis.call('TIME')
return {string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), redis.call('HGET', KEYS[1], ARGV[1]) or ''}
