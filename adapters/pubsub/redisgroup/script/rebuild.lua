-- Restarts a group with the first event of every chat. The owner of the partition notices with its next commit.
--
-- KEYS  id of the log, the group, its checkpoints, its chats left to the log, its failing chats, its letters to be redelivered, its dead letters
-- ARGV  log id
-- Reply 1, -1 if the partition belongs to another log, -3 if the group does not exist

local id, group, checkpoints, left, failing, again, dead = unpack(KEYS)
if redis.call('GET', id) ~= ARGV[1] then return -1 end
local epoch = redis.call('HGET', group, 'epoch')
if not epoch then return -3 end

-- The owner is fenced before the checkpoints are deleted. Its name stays until another member acquires the partition: it may still start handlers.
-- If UNLINK is refused, the group continues where it was, and the same call may be repeated.
redis.call('HSET', group, 'walk', '0', 'state', 'ready', 'until', '0', 'epoch', string.format('%d', tonumber(epoch) + 1))
redis.call('UNLINK', checkpoints, left, failing, again, dead)
return 1
