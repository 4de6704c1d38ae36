-- Writes a part of a chat that is restored into a log that no program can open yet.
--
-- KEYS  the partition's id key
-- ARGV  the value of that key; chat as in keys; segment, number of entries that it has before; then the number of values and the values of four lists:
--       entries that follow in the segment, fields and values of :x, members of :u, members of :d; then the chat, or '' while more parts follow, and its
--       value in the partition's index of last messages
-- Reply 1; 0, and nothing is written, if entries before these are missing; -1 if another restore has replaced this one
--
-- A repeated call changes nothing, also after later ones.

local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then return -1 end

local prefix = string.sub(KEYS[1], 1, -3)
local base, at = prefix .. ARGV[2] .. ':', 5

-- list returns the next list of ARGV.
local function list()
  local n = tonumber(ARGV[at])
  local values = {unpack(ARGV, at + 1, at + n)}
  at = at + n + 1
  return values
end

local entries = list()
if #entries > 0 then
  local length = call('LLEN', base .. ARGV[3])
  if length == tonumber(ARGV[4]) then
    call('RPUSH', base .. ARGV[3], unpack(entries))
  elseif length < ARGV[4] + #entries then
    return 0
  end
end
local index, members, tombstones = list(), list(), list()
if #members > 0 then call('HSET', base .. 'u', unpack(members)) end
if #tombstones > 0 then call('ZADD', base .. 'd', unpack(tombstones)) end
if #index > 0 then call('HSET', base .. 'x', unpack(index)) end
if ARGV[at] ~= '' then
  call('SADD', prefix .. 'chats', ARGV[at])
  call('SET', prefix .. 'count', call('SCARD', prefix .. 'chats'))
  call('HSET', prefix .. 'last', ARGV[at], ARGV[at + 1])
end
return 1
