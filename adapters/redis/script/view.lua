-- Takes the number of one user in one chat, unless one of at least its version was taken. An entry of a rebuild replaces those of earlier rebuilds
-- and of none, whatever their versions. What belongs to another log goes first.
--
-- KEYS  the user's numbers, HASH chat → number; their versions, HASH chat → seq or, once the chat was rebuilt, seq:epoch, and ' ' → log id
-- ARGV  log id, chat, version, the number or '' for none, epoch of the rebuild or 0
-- Reply 1 if it was taken, 0 if not
--
-- Both keys are read before one is written: a value of another kind, or a key that has left for another node, shows then. The version is
-- written last: if a write is refused, the same call takes the number again.

local numbers, versions, log, chat, version, number, rebuild = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local known = redis.call('HMGET', versions, ' ', chat)
redis.call('HEXISTS', numbers, chat)
if known[1] ~= log then
  redis.call('DEL', numbers, versions)
  redis.call('HSET', versions, ' ', log)
else
  local seq, epoch = string.match(known[2] or '', '^(%d+):?(%d*)$')
  seq, epoch = tonumber(seq or 0), tonumber(epoch) or 0
  if rebuild == 0 then rebuild = epoch end
  if epoch > rebuild or epoch == rebuild and seq >= tonumber(version) then return 0 end
end
if number == '' then
  redis.call('HDEL', numbers, chat)
else
  redis.call('HSET', numbers, chat, number)
end
redis.call('HSET', versions, chat, rebuild == 0 and version or version .. ':' .. string.format('%d', rebuild))
return 1
