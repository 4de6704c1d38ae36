-- Corrects a consumer group's state of one chat, unless the state has changed since the contradiction was found.
--
-- KEYS  the partition's id key, the group, its checkpoints, its chats left to the log, its failing chats, its letters to be redelivered, its dead
--       letters
-- ARGV  log id, chat, its checkpoint then or '' for none, its mark then or '' for none, its new checkpoint or '' for the same, id of a dead letter
--       that is removed or ''
-- Reply 1, 0 if the state has changed, -1 if the partition belongs to another log
--
-- The chat becomes left behind: it is read from the log, from its checkpoint on. The partition's owner is fenced, because it holds the group's state
-- of the chat in memory; the partition is acquired anew. That comes first: if a later write is refused, the same call does the rest.

local id, group, checkpoints, left, failing, again, dead = unpack(KEYS)
local log_id, chat, checkpoint, as, corrected, letter = unpack(ARGV)
if redis.call('GET', id) ~= log_id then return -1 end
local epoch = redis.call('HGET', group, 'epoch')
local function either(value, was, is) return (value or '') == was or value == is end
if not epoch or not either(redis.call('HGET', checkpoints, chat), checkpoint, corrected) or not either(redis.call('HGET', left, chat), as, 'behind') then return 0 end
redis.call('HLEN', failing)
redis.call('HLEN', again)
redis.call('XLEN', dead)

redis.call('HSET', group, 'until', '0', 'epoch', string.format('%d', tonumber(epoch) + 1))
redis.call('HINCRBY', group, 'revision', '1')
redis.call('HDEL', failing, chat)
if letter ~= '' then
  redis.call('HDEL', again, letter)
  redis.call('XDEL', dead, letter)
end
redis.call('HSET', left, chat, 'behind')
if corrected ~= '' then redis.call('HSET', checkpoints, chat, corrected) end
return 1
