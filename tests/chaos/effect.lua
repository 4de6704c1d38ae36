-- A handler has its effect: once for each event, and not if a later owner of the chat has had one.
-- KEYS  1 records, a list; 2 identities of events with an effect, a set; 3 group and chat → epoch of its latest effect, a hash
-- ARGV  1 the delivery; 2 identity; 3 group and chat; 4 epoch
-- gives made, already or fenced
local records, identities, epochs = KEYS[1], KEYS[2], KEYS[3]
local delivery, identity, chat, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local outcome = 'made'
if tonumber(redis.call('HGET', epochs, chat) or 0) > tonumber(epoch) then
	outcome = 'fenced'
elseif redis.call('SADD', identities, identity) == 0 then
	outcome = 'already'
else
	redis.call('HSET', epochs, chat, epoch)
end
local now = redis.call('TIME')
redis.call('RPUSH', records, table.concat({outcome, string.format('%.0f', now[1] * 1000000 + now[2]), delivery}, '\t'))
return outcome
