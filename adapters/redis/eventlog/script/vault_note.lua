-- Changes a note of the archivers.
--
-- KEYS  the partition's id key, its notes
-- ARGV  log id, history, field of the note, value that it must have ('0' also stands for none, '' for any), new value ('' to change nothing), chat as in keys or '', least last seq
--       that the chat must have
-- Reply 1 if it was changed, 0 if it has another value, the server is at another history or the chat has fewer events, -1 if the partition belongs to
--       another log

local id, notes = KEYS[1], KEYS[2]
local log_id, history, field, from, to, chat, least = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
if redis.call('GET', id) ~= log_id then return -1 end

local told = redis.pcall('INFO', 'replication')
if type(told) ~= 'string' then return told end
if string.match(told, 'master_replid:(%x+)') ~= history then return 0 end

if from ~= '' and (redis.call('HGET', notes, field) or '0') ~= from then return 0 end
if chat ~= '' then
  local head = redis.call('HGET', string.sub(id, 1, -3) .. chat .. ':x', ' ') or '0'
  if (tonumber(string.match(head, '^%d+')) or 0) < least then return 0 end
end
if to ~= '' then redis.call('HSET', notes, field, to) end
return 1
