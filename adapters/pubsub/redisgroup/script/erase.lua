-- Removes the entries of erased events from a stream, with all entries before them: groups behind them read from the log. It never deletes entries in
-- the middle, because commits need them.
--
-- Redis keeps the bytes of a removed entry until all entries of its node are gone, about 100. So the entries that are left are written into a new stream, unless
-- they are many, or consumer groups of other programs read the stream: then the bytes go when the stream is trimmed further. A key has the first of the
-- entries that are left then: all other trimming is by whole nodes, so the bytes are there while that entry is the first one.
--
-- KEYS  id of the log, stream, the partition's groups, a key for the new stream, the key of the first entry behind bytes of removed ones
-- ARGV  log id, prefix of a group's key, '1' if other programs add entries to the stream, id below which the search continues or '', maximum number of
--       entries to search, chat, seqs of the erased events in ascending order
-- Reply {0} if the stream has none of them; {1, entries removed}; {2, id} if the search is to continue below that id; {3} if they wait, because a group
--       that has not passed them could not read the entries of other programs from the log; {-1} if the partition belongs to another log
--
-- The search begins with the newest entry, because most erased events are either new or have left the stream.

local MOST = 500 -- entries that are written anew: about a millisecond
local id, stream, groups, copy, hiding = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local log_id, prefix, shared, below, most, chat, first = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
if redis.call('GET', id) ~= log_id then return {-1} end

local erased = {}
for a = 7, #ARGV do erased[tonumber(ARGV[a])] = true end

-- seq_of returns the seq of an entry of the chat, or nil.
local function seq_of(fields)
  local of, seq
  for f = 1, #fields, 2 do
    if fields[f] == 'chat' then of = fields[f + 1] elseif fields[f] == 'seq' then seq = tonumber(fields[f + 1]) end
  end
  return of == chat and seq or nil
end

local function earlier(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  return tonumber(a1) < tonumber(b1) or a1 == b1 and tonumber(a2) < tonumber(b2)
end

local last
local entries = redis.call('XREVRANGE', stream, below == '' and '+' or '(' .. below, '-', 'COUNT', most)
for _, entry in ipairs(entries) do
  local seq = seq_of(entry[2])
  if seq and erased[seq] then
    last = entry[1]
    break
  end
  if seq and seq < first then return {0} end
end
if not last then
  if #entries < most then return {0} end
  return {2, entries[#entries][1]}
end

local behind = {}
for _, name in ipairs(redis.call('SMEMBERS', groups)) do
  local position = redis.call('HGET', prefix .. name, 'position')
  if position and earlier(position, last) then behind[#behind + 1] = name end
end
if shared and #behind > 0 then return {3} end

-- Before the trimming: whatever fails afterwards, the bytes are known.
local next_entry = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
if next_entry then redis.call('SET', hiding, next_entry[1]) else redis.call('DEL', hiding) end

local ms, number = string.match(last, '^(%d+)-(%d+)$')
local removed = redis.call('XTRIM', stream, 'MINID', ms .. '-' .. string.format('%d', tonumber(number) + 1))
for _, name in ipairs(behind) do
  redis.call('HSET', prefix .. name, 'walk', '0', 'position', last)
  redis.call('HINCRBY', prefix .. name, 'revision', '1')
end

local left = redis.call('XLEN', stream)
if left > 0 and left <= MOST and #redis.call('XINFO', 'GROUPS', stream) == 0 then
  local state, about = {}, redis.call('XINFO', 'STREAM', stream)
  for i = 1, #about, 2 do state[about[i]] = about[i + 1] end
  redis.call('DEL', copy)
  for i, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    redis.call('XADD', copy, entry[1], unpack(entry[2]))
    if i == 1 then redis.call('EXPIRE', copy, 60) end -- a call without the rights to the end leaves nothing behind
  end
  redis.call('PERSIST', copy) -- before it becomes the stream
  redis.call('XSETID', copy, state['last-generated-id'], 'ENTRIESADDED', state['entries-added'], 'MAXDELETEDID', state['max-deleted-entry-id'])
  redis.call('RENAME', copy, stream)
  redis.call('DEL', hiding)
end
return {1, removed}
