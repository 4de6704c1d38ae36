-- Removes an entry of a delivery stream whose event is not in the log.
--
-- KEYS  the partition's id key, its delivery stream
-- ARGV  log id, chat as in keys, segment and index of the event, its seq, id of the entry, its payload, the payload in the compact form or ''
-- Reply 1 if it was removed, 0 if the log has the event or there is no such entry, -1 if the partition belongs to another log

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local base = string.sub(KEYS[1], 1, -3) .. ARGV[2]
local head = tonumber(string.match(redis.call('HGET', base .. ':x', ' ') or '0', '^%d+')) or 0
local event = redis.call('LINDEX', base .. ':' .. ARGV[3], ARGV[4])
local stored = event and string.match(event, '^[^{]*(.*)$')
if head >= tonumber(ARGV[5]) and (not event or stored == ARGV[7] or stored == ARGV[8]) then return 0 end
return redis.call('XDEL', KEYS[2], ARGV[6])
