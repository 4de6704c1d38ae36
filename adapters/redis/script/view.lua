-- Puts the number of one user in one chat, unless one of at least its version was put. An entry of a rebuild replaces those of earlier rebuilds
-- and of none, whatever their versions. Numbers of another log are deleted first.
--
-- KEYS  the user's numbers, HASH chat → number; their versions, HASH chat → seq or, once the chat was rebuilt, seq:epoch, with a minus behind it
--       if there is no number as of it; ' ' → log id; ' #' → how many numbers there are
-- ARGV  log id, chat, version, the number or '' for none, epoch of the rebuild or 0
-- Reply 1 if it was put, 0 if not
--
-- Both keys are read before one is written: a value of another kind, or a key that has left for another node, shows then. The version is
-- written last: if a write is refused, the same call puts the number again. The count follows from the versions and not from the numbers, so that
-- a loss of numbers stays visible.

local numbers, versions, log, chat, version, number, rebuild = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5] or 0)
local known = redis.call('HMGET', versions, ' ', chat, ' #')
redis.call('HEXISTS', numbers, chat)
local count = tonumber(known[3] or 0) or 0
if known[1] ~= log then
  redis.call('DEL', numbers, versions)
  redis.call('HSET', versions, ' ', log)
  count = 0
else
  local seq, epoch, gone = string.match(known[2] or '', '^(%d+):?(%d*)(%-?)$')
  if seq and gone == '' then count = count - 1 end
  seq, epoch = tonumber(seq or 0), tonumber(epoch) or 0
  if rebuild == 0 then rebuild = epoch end
  if epoch > rebuild or epoch == rebuild and seq >= tonumber(version) then return 0 end
end
if rebuild > 0 then version = version .. ':' .. string.format('%d', rebuild) end
if number == '' then
  version = version .. '-'
  redis.call('HDEL', numbers, chat)
else
  count = count + 1
  redis.call('HSET', numbers, chat, number)
end
redis.call('HSET', versions, chat, version, ' #', string.format('%d', math.max(count, 0)))
return 1
