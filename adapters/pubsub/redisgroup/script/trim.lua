-- Removes from a stream the entries that every group has passed, and those beyond the bound: groups behind them read from the log.
--
-- KEYS  id of the log, stream, the partition's groups
-- ARGV  log id or '', prefix of a group's key, entries that the stream may keep for groups that are behind
-- Reply {entries removed, name of each group that was moved …}, or {-1} if the partition belongs to another log

local id, stream, groups = KEYS[1], KEYS[2], KEYS[3]
local log_id, prefix, bound = ARGV[1], ARGV[2], tonumber(ARGV[3])
if log_id ~= '' and redis.call('GET', id) ~= log_id then return {-1} end

local function earlier(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  return tonumber(a1) < tonumber(b1) or a1 == b1 and tonumber(a2) < tonumber(b2)
end

local length = redis.call('XLEN', stream)
if length == 0 then return {0} end
local lowest = nil
local function consider(position)
  if position and (not lowest or earlier(position, lowest)) then lowest = position end
end
local ours = {}
for _, name in ipairs(redis.call('SMEMBERS', groups)) do
  local position = redis.call('HGET', prefix .. name, 'position')
  if position then
    ours[name] = position
    consider(position)
  end
end
-- Consumer groups of other programs: up to the last entry delivered to them, or to the first that they have not acknowledged.
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local name, pending = nil, 0
  for i = 1, #info, 2 do
    if info[i] == 'name' then name = info[i + 1] end
    if info[i] == 'pending' then pending = info[i + 1] end
    if info[i] == 'last-delivered-id' then consider(info[i + 1]) end
  end
  if name and pending > 0 then consider(redis.call('XPENDING', stream, name)[2] or nil) end
end
if not lowest then return {0} end

local taken = redis.call('XTRIM', stream, 'MINID', '~', lowest)
local reply = {taken}
if length - taken > bound then
  local cut = redis.call('XTRIM', stream, 'MAXLEN', '~', bound)
  reply[1] = taken + cut
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', '1')[1]
  for name, position in pairs(ours) do
    if cut > 0 and earlier(position, first[1]) then
      reply[#reply + 1] = name
      if log_id ~= '' then redis.call('HSET', prefix .. name, 'walk', '0', 'position', first[1]) end
      redis.call('HINCRBY', prefix .. name, 'revision', '1')
    end
  end
end
return reply
