-- Creates a consumer group on a partition, unless it exists.
--
-- KEYS  id of the log, the group, the partition's groups, stream
-- ARGV  log id, '' if there is none, name of the group, '1' to begin with the first event, ms up to which the entries of the stream are passed, '' for
--       all of its entries, number of entries after these that were counted, '' for none, beginning of the range of those that were not
-- Reply {1} if the group is ready, {2} if its first checkpoints are still to be written, {-1} if the partition belongs to another log
--
-- A group that does not begin now may lack entries that were trimmed. It begins with a walk, which finds chats that are behind their checkpoints.

local id, group, groups, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local log_id, name, beginning, upto, counted, rest = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5], ARGV[6]
if log_id ~= '' and redis.call('GET', id) ~= log_id then return {-1} end

if redis.call('EXISTS', group) == 0 then
  local position, added = '0-0', redis.call('XLEN', stream)
  local info = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'STREAM', stream) or {}
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then added = info[i + 1] end
  end
  local passed = added - redis.call('XLEN', stream)
  if not beginning then
    local last = redis.call('XREVRANGE', stream, upto == '' and '+' or upto, '-', 'COUNT', '1')
    if last[1] then position = last[1][1] end
    if upto == '' then passed = added end
    if counted ~= '' then passed = added - counted - #redis.call('XRANGE', stream, rest, '+', 'COUNT', '1000') end
  end
  redis.call('HSET', group, 'owner', '', 'epoch', '0', 'until', '0', 'commit', '0', 'revision', '0', 'position', position, 'passed', passed,
    'walk', ((beginning or upto ~= '') and log_id ~= '') and '0' or '', 'state', (beginning or log_id == '') and 'ready' or 'new')
end
redis.call('SADD', groups, name)
return {redis.call('HGET', group, 'state') == 'new' and 2 or 1}
