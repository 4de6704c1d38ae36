-- Decides about a dead letter: it is given again, or dropped. A chat that was parked for it flows again. A letter that is given again stays, with a mark.
-- The letter of an entry that is one letter in
-- all groups is given again as a new entry of the stream, to all groups.
--
-- KEYS  id of the log, the group, its checkpoints, its chats left to the log, its failing chats, its letters to be given again, its dead
--       letters, stream
-- ARGV  log id or '', id of the letter, 'retry' or 'drop'
-- Reply 1, 0 if there is no such letter, -5 if it is to be given again and its payload was not kept, -1 if the lane belongs to another log, -3 if there is no such group

local id, group, checkpoints, left, failing, again, dead, stream = unpack(KEYS)
local log_id, letter_id, decision = ARGV[1], ARGV[2], ARGV[3]
if log_id ~= '' and redis.call('GET', id) ~= log_id then return -1 end
if redis.call('EXISTS', group) == 0 then return -3 end
local letter = redis.call('XRANGE', dead, letter_id, letter_id)[1]
if not letter then return 0 end

local mark = redis.call('HGET', again, letter_id) or '' -- STATE ATTEMPTS MS PARKED SEQ CHAT REASON, or '1'
redis.call('HINCRBY', group, 'revision', '1') -- has the owner look again; nothing is lost if it finds the same
local fields = {}
for i = 1, #letter[2], 2 do fields[letter[2][i]] = letter[2][i + 1] end
local chat = fields['chat']
local parked = fields['parked']
if #mark > 1 then parked = string.match(mark, '^%d %d+ %d+ (%d)') end
if parked == '1' and redis.call('HGET', left, chat) == 'parked' then
  -- The chat stays parked until everything else is done: after a refused write the same decision can be made again.
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
  redis.call('XDEL', dead, '0-1') -- no effect: if the right is missing, the entry is not added again with each try
  redis.call('XADD', stream, '*', unpack(entry))
  redis.call('XDEL', dead, letter_id)
elseif decision == 'drop' then
  redis.call('HDEL', again, letter_id)
  redis.call('XDEL', dead, letter_id)
elseif string.sub(mark, 1, 1) ~= '2' then
  redis.call('HSET', again, letter_id, '1' .. string.sub(mark, 2))
end
return 1
