-- Replaces events of a chat by their erased forms, and drops all snapshots of the chat.
--
-- KEYS  the partition's id key, its legal holds
-- ARGV  log id, chat as in keys, chat, then for each event: its seq, the SHA-1 of the event as it was read, its erased form, its actor
-- Reply {0, result, result, …} in the order of the events: 0 if it has the erased form, 1 if it is another event than was read, 2, 3 or 4 if a hold of the
--       log, the chat or the actor protects it; {-1} if the partition belongs to another log. If one is another event, nothing is written.
--
-- Snapshots go first: a call that ends in between leaves no snapshot with content of erased events.

local SEGMENT = 1024
local id, holds, log_id, base, chat = KEYS[1], KEYS[2], ARGV[1], string.sub(KEYS[1], 1, -3) .. ARGV[2], ARGV[3]
if redis.call('GET', id) ~= log_id then return {-1} end

local of_all = redis.call('HMGET', holds, '', 'c' .. chat)
local hold_of_all = of_all[1] and 2 or of_all[2] and 3
local reply, writes, other = {0}, {}, false
for i = 4, #ARGV, 4 do
  local seq, digest, erased, actor = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local hold = hold_of_all or redis.call('HEXISTS', holds, 'u' .. actor) == 1 and 4
  local result = hold or 0
  if not hold then
    local key, index = string.format('%s:%d', base, (seq - 1) / SEGMENT), (seq - 1) % SEGMENT
    local links, event = string.match(redis.call('LINDEX', key, index) or '', '^([^{]*)(.*)$')
    if redis.sha1hex(event) == digest then
      writes[#writes + 1] = {key, index, links .. erased}
    elseif event ~= erased then
      result, other = 1, true
    end
  end
  reply[#reply + 1] = result
end
if other or #writes == 0 then return reply end

redis.call('DEL', base .. ':s')
for _, write in ipairs(writes) do redis.call('LSET', write[1], write[2], write[3]) end
return reply
