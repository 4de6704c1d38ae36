-- Decides about a dead letter: it is redelivered, or dropped. A chat that is parked for it resumes. A redelivered letter remains, with a mark. A
-- shared letter, which is one of all groups, becomes a new entry of the stream, for all groups.
--
-- KEYS  id of the log, the group, its checkpoints, its chats left to the log, its failing chats, its letters to be redelivered, its dead
--       letters, stream
-- ARGV  log id or '', id of the letter, 'retry' or 'drop'
-- Reply 1, 0 if the letter does not exist, -5 if it is to be redelivered and its payload was not kept, -1 if the partition belongs to another
--       log, -3 if the group does not exist

local id, group, checkpoints, left, failing, again, dead, stream = unpack(KEYS)
local log_id, letter_id, decision = ARGV[1], ARGV[2], ARGV[3]
if log_id ~= '' and redis.call('GET', id) ~= log_id then return -1 end
if redis.call('EXISTS', group) == 0 then return -3 end
local letter = redis.call('XRANGE', dead, letter_id, letter_id)[1]
if not letter then return 0 end

local mark = redis.call('HGET', again, letter_id) or '' -- STATE ATTEMPTS MS PARKED SEQ CHAT REASON, or '1'
redis.call('HINCRBY', group, 'revision', '1') -- makes the owner reload, which is harmless if nothing has changed
local fields = {}
for i = 1, #letter[2], 2 do fields[letter[2][i]] = letter[2][i + 1] end
local chat = fields['chat']
local parked = fields['parked']
if #mark > 1 then parked = string.match(mark, '^%d %d+ %d+ (%d)') end
if parked == '1' and redis.call('HGET', left, chat) == 'parked' then
  -- The chat remains parked until everything else is done: after a refused write the same decision can be repeated.
  if decision == 'drop' then redis.call('HSET', checkpoints, chat, fields['seq']) end
  redis.call('HSET', left, chat, 'parked')
  redis.call('HDEL', failing, chat)
  if decision == 'drop' then
    redis.call('HDEL', again, letter_id)
    redis.call('XDEL', dead, letter_id)
  elseif #mark > 1 then
    redis.call('HSET', again, letter_id, '2' .. string.sub(mark, 2))
  else
    redis.call('HSET', again, letter_id, '2 ' .. (fields['attempts'] or '0') .. ' 0 1 ' .. fields['seq'] .. ' ' .. chat .. ' ')
  end
  redis.call('HSET', left, chat, 'behind')
elseif decision == 'retry' and fields['entry'] then
  if fields['cut'] then return -5 end
  local entry = {}
  for _, name in ipairs({'_watermill_message_uuid', 'metadata', 'payload'}) do
    if (fields[name] or '') ~= '' then
      entry[#entry + 1] = name
      entry[#entry + 1] = fields[name]
    end
  end
  if #entry == 0 then return -5 end
  redis.call('XLEN', stream)
  redis.call('XDEL', dead, '0-1') -- no effect: if the right is missing, retries do not add the entry again and again
  redis.call('XADD', stream, '*', unpack(entry))
  redis.call('XDEL', dead, letter_id)
elseif decision == 'drop' then
  redis.call('HDEL', again, letter_id)
  redis.call('XDEL', dead, letter_id)
elseif string.sub(mark, 1, 1) ~= '2' then
  redis.call('HSET', again, letter_id, '1' .. string.sub(mark, 2))
end
return 1
