-- Commits the changes that a partition's owner has made, and renews its lease.
--
-- KEYS  id of the log, the group, its checkpoints, its chats left to the log, its failing chats, its letters to be redelivered, its dead
--       letters, stream, entries of the stream that are dead letters of some group
-- ARGV  log id or '', epoch, number of the commit, ms that the lease lasts, position or '', entries passed, progress of the walk, '-' if it has
--       ended or '' if it is unchanged, number and ids of entries that were read, number and pairs of: chats and the seqs finished; chats and
--       their state 'behind' or 'parked', '' if none any more; chats and their failures, '' if none any more; number and ids of letters that are
--       removed; number of letters, how many entries of shared letters are remembered, and for each letter: the id of the entry that makes it a
--       shared one, of all groups, or ''; the id of the letter whose retry failed or ''; the mark that this one gets then, with 0 for the time;
--       the number of the letter's fields and values, 0 if it is not to be written anew; these fields and values
-- Reply {1, revision, lost, dead letters, shared letters that were written}; {-1} if the partition belongs to another log; {-2} if another
--       owner has acquired it since; {-3} if the group does not exist; {-4} if Redis has lost an earlier commit or an entry that was read. lost is
--       '' or, if the stream may have lost unfinished entries, its first id, '-' if it is empty

local id, group, checkpoints, left, failing, again, dead, stream, shared = unpack(KEYS)
local log_id, epoch, number, ttl, position, passed, walk = unpack(ARGV, 1, 7)
if log_id ~= '' and redis.call('GET', id) ~= log_id then return {-1} end
local present, done, before, walking, revision, counted = unpack(redis.call('HMGET', group, 'epoch', 'commit', 'position', 'walk', 'revision', 'passed'))
if not present then return {-3} end
if present ~= epoch then return {-2} end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local expires = string.format('%d', now + tonumber(ttl))
local function kept()
  local n = redis.pcall('XLEN', dead)
  return type(n) == 'number' and n or 0
end
if done == number then -- its reply was lost
  redis.call('HSET', group, 'until', expires)
  return {1, revision, redis.call('HGET', group, 'lost'), kept(), 0}
end
if tonumber(done) ~= tonumber(number) - 1 then return {-4} end

local function later(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  return tonumber(a1) > tonumber(b1) or a1 == b1 and tonumber(a2) > tonumber(b2)
end

-- Entries and the log's events are written in one step. If an entry that was read is gone and older ones are not, Redis has lost it, and seqs may
-- name other events by now. If older ones are gone too, the stream was trimmed, unless there never was an older one.
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', '1')[1]
first = first and first[1] or '-'
local function gone(at) return at ~= '' and at ~= '0-0' and (first == '-' or later(first, at)) end
local at = 8 + tonumber(ARGV[8])
for i = 9, log_id ~= '' and at or 0 do
  if #redis.call('XRANGE', stream, ARGV[i], ARGV[i]) == 0 and (before == '0-0' and walking == '' or not gone(ARGV[i])) then return {-4} end
end
at = at + 1

-- Trimming keeps the entry at a position. If it is gone, entries after it may be gone too. The position then becomes the first entry of the
-- stream, whose chat is checked with all others.
local lost = ''
if log_id ~= '' and (gone(before) or gone(position)) then
  lost = first
  if position == '' or gone(position) then position = first == '-' and '0-0' or first end
  if walk == '' or walk == '-' then walk = '0' end
end

-- All keys that are written are read first: a wrong type or a slot that moves away fails here.
local parts, n_parts = {}, 0
for _, key in ipairs({checkpoints, left, failing}) do
  local n = tonumber(ARGV[at])
  if n > 0 then
    redis.call('HLEN', key)
    n_parts = n_parts + 1
    parts[n_parts] = {key, at, n}
  end
  at = at + 1 + 2 * n
end
local settled = tonumber(ARGV[at])
local letters = tonumber(ARGV[at + settled + 1])
if settled + letters > 0 then redis.call('HLEN', again) end
if settled + letters > 0 then redis.call('XLEN', dead) end
if letters > 0 then -- no effect: a missing right fails before a letter is written
  redis.call('ZADD', shared, 'XX', now, '')
  redis.call('ZSCORE', shared, '')
  redis.call('ZCARD', shared)
  redis.call('ZRANGE', shared, 0, 0)
  redis.call('ZREM', shared, '')
end

for p = 1, n_parts do
  local key, from, n = unpack(parts[p])
  local set, del = {}, {}
  for i = from + 1, from + 2 * n, 2 do
    if ARGV[i + 1] == '' then
      del[#del + 1] = ARGV[i]
    else
      set[#set + 1] = ARGV[i]
      set[#set + 1] = ARGV[i + 1]
    end
  end
  for i = 1, #set, 4000 do redis.call('HSET', key, unpack(set, i, math.min(i + 3999, #set))) end
  for i = 1, #del, 4000 do redis.call('HDEL', key, unpack(del, i, math.min(i + 3999, #del))) end
end
for i = at + 1, at + settled do
  redis.call('XDEL', dead, ARGV[i])
  redis.call('HDEL', again, ARGV[i])
end
local remembered = tonumber(ARGV[at + settled + 2])
at = at + settled + 3
local written = 0
for _ = 1, letters do
  local entry, of, fields = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3])
  if of ~= '' and #redis.call('XRANGE', dead, of, of) > 0 then
    local mark = string.gsub(ARGV[at + 2], '^(%d) (%d+) 0 ', '%1 %2 ' .. string.format('%d', now) .. ' ', 1)
    redis.call('HSET', again, of, mark)
  elseif fields > 0 and (entry == '' or not redis.call('ZSCORE', shared, entry)) then
    redis.call('XADD', dead, '*', unpack(ARGV, at + 4, at + 3 + fields))
    if entry ~= '' then
      redis.call('ZADD', shared, now, entry)
      written = written + 1
    end
  end
  at = at + 4 + fields
end
local excess = letters > 0 and redis.call('ZCARD', shared) - remembered or 0
if excess > 0 then redis.call('ZREM', shared, unpack(redis.call('ZRANGE', shared, 0, excess - 1))) end

local changes = {'commit', number, 'until', expires, 'lost', lost}
if position ~= '' then
  changes[#changes + 1] = 'position'
  changes[#changes + 1] = position
end
if walk ~= '' then
  changes[#changes + 1] = 'walk'
  changes[#changes + 1] = walk == '-' and '' or walk
end
if passed ~= '0' then
  changes[#changes + 1] = 'passed'
  changes[#changes + 1] = string.format('%.0f', (tonumber(counted) or 0) + passed)
end
redis.call('HSET', group, unpack(changes))
return {1, revision, lost, kept(), written}
