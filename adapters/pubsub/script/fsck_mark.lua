-- Corrects what a consumer group keeps of one chat, if it still is what it was when the contradiction was found.
--
-- KEYS  the partition's id key, the group, its checkpoints, its chats left to the log, its failing chats, its letters to be given again, its dead
--       letters
-- ARGV  log id, chat, checkpoint as it was or '' for none, what the chat was left as or '' for nothing, checkpoint that it is to be or '' for the
--       same, id of a dead letter that is removed or ''
-- Reply 1, 0 if something has changed, -1 if the partition belongs to another log
--
-- The chat is left behind: it is read from the log, from its checkpoint on. The partition's owner is fenced off, because it remembers what the
-- group kept of the chat; it acquires the partition anew. That comes first: where a later write is refused, the same call does the rest.

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
