-- Acquires a partition for a member of a group, unless another member owns it.
--
-- KEYS  id of the log, the group, its chats left to the log, its failing chats, its letters to be redelivered, stream, its dead letters
-- ARGV  log id or '', member, ms that the lease lasts, '1' if records that the member had read were lost, the group's bound of dead letters
-- Reply {1, epoch, position, walk, revision, '1' if there was an owner before, last id of the stream, dead letters, left, failing, again, overlap}:
--       left, failing and again as HGETALL returns them, or the number of their fields if these are so many that they are read in pages;
--       {0} if another member owns it; {-1} if the partition belongs to another log; {-3} if the group does not exist
--
-- A lease that expires too far away, because the clock was set back, is cut to the length that its owner asked for last. An owner that lives renews
-- it long before that.
--
-- overlap is for how many ms from now on an earlier owner may still start handlers: its lease, unless it has released the partition or is this
-- member. The lease may have ended early, by a clock that was set forward, by a rebuild or a repair, and the owner learns that only with its next
-- commit. An owner that releases the partition while an earlier one may still start handlers leaves the overlap to the next owner.

local PAGE = 1000
local id, group, left, failing, again, stream, dead = unpack(KEYS)
local log_id, instance, ttl, lost = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
if log_id ~= '' and redis.call('GET', id) ~= log_id then return {-1} end
local owner, expires, epoch, position, walk, revision, state, lease, overlap =
  unpack(redis.call('HMGET', group, 'owner', 'until', 'epoch', 'position', 'walk', 'revision', 'state', 'lease', 'overlap'))
if not owner then return {-3} end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if state ~= 'ready' then return {0} end
if owner ~= instance and tonumber(expires) > now then
  local most = now + (tonumber(lease or ttl) or ttl)
  if tonumber(expires) > most then redis.call('HSET', group, 'until', string.format('%d', most)) end
  return {0}
end

local function later(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  return tonumber(a1) > tonumber(b1) or a1 == b1 and tonumber(a2) > tonumber(b2)
end

-- Trimming keeps the entry at the position. If it is gone, entries after it may be gone too: every chat has to be checked.
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', '1')[1]
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', '1')[1]
local gone = not first or later(first[1], position)
if first and position == '0-0' then -- unless no entry was ever removed
  local info = redis.call('XINFO', 'STREAM', stream)
  gone = false
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then gone = info[i + 1] > redis.call('XLEN', stream) end
  end
end
-- If it is gone and older ones are not, it was lost: the position becomes the entry before it.
local hole = not gone and position ~= '0-0' and #redis.call('XRANGE', stream, position, position) == 0
if log_id ~= '' and (gone or hole or lost) then
  if gone then position = first and first[1] or '0-0' end
  if hole then position = redis.call('XREVRANGE', stream, position, '-', 'COUNT', '1')[1][1] end
  if walk == '' then walk = '0' end
  redis.call('HSET', group, 'walk', walk, 'position', position)
end

-- An epoch is a time, so that it grows even if a failover has lost the one before.
local before = tonumber(epoch)
epoch = string.format('%d', math.max(before + 1, now))
overlap = tonumber(overlap) or 0
if owner ~= '' and owner ~= instance then overlap = math.max(overlap, tonumber(lease) or ttl) end
redis.call('HSET', group, 'owner', instance, 'epoch', epoch, 'until', string.format('%d', now + ttl), 'lease', string.format('%d', ttl), 'overlap', string.format('%d', overlap), 'bound', ARGV[5], 'commit', '0')
local kept = redis.pcall('XLEN', dead)
local function small(key)
  local n = redis.call('HLEN', key)
  return n > PAGE and n or redis.call('HGETALL', key)
end
return {1, epoch, position, walk, revision, before > 0 and '1' or '', last and last[1] or '0-0', type(kept) == 'number' and kept or 0, small(left), small(failing), small(again), overlap}
