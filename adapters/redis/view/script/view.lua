-- Stores numbers of users in chats, each unless one with at least its version was stored. An entry of a rebuild replaces those of earlier rebuilds
-- and of none, regardless of their versions. Numbers of another log are deleted first.
--
-- KEYS  for each entry the user's numbers, HASH chat → number; their versions, HASH chat → seq or, after a rebuild of the chat, seq:epoch, with a
--       minus at the end if there is no number; ' ' → log id; ' #' → number of numbers. On a Cluster all entries are of one user
-- ARGV  log id; for each entry chat, version, the number or '' for none, epoch of the rebuild or 0; and for the view of users' chats a channel and the
--       user of each entry
-- Reply how many were stored
--
-- An entry's versions are read first and its number is written before its version. So a value of another type, or a key that has moved to another
-- node, shows before the first write of the entry. If a write is refused, the same call stores the number again. The count follows from the versions
-- and not from the numbers, so that a loss of numbers is detected.
--
-- A user that gains or loses a chat, or has another number in it, is published on the channel after the entry is stored. A refusal changes nothing:
-- a process that hears nothing compares the chats of its users from time to time.

local KEYS, ARGV, call, pcall, tonumber, match, format = KEYS, ARGV, redis.call, redis.pcall, tonumber, string.match, string.format
local log, put = ARGV[1], 0
local channel, user_of = ARGV[2 * #KEYS + 2], 2 * #KEYS + 2

local function count_of(text) return tonumber(text or 0) or 0 end

for e = 1, #KEYS / 2 do
  local numbers, versions = KEYS[2 * e - 1], KEYS[2 * e]
  local a = 4 * e - 2
  local chat, version, number, rebuild = ARGV[a], ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3] or 0)
  local known = call('HMGET', versions, ' ', chat, ' #')
  local count, taken, there = count_of(known[3]), true, false
  if known[1] ~= log then
    call('HLEN', numbers)
    call('DEL', numbers, versions)
    call('HSET', versions, ' ', log)
    known[3], count = false, 0
  elseif known[2] then
    local seq, epoch, gone = match(known[2], '^(%d+):?(%d*)(%-?)$')
    there = seq and gone == ''
    seq, epoch = tonumber(seq or 0), tonumber(epoch) or 0
    if rebuild == 0 then rebuild = epoch end
    taken = epoch < rebuild or epoch == rebuild and seq < tonumber(version)
  end
  if taken then
    put = put + 1
    local changed = channel and (there ~= (number ~= '') or there and call('HGET', numbers, chat) ~= number)
    if rebuild > 0 then version = version .. ':' .. format('%d', rebuild) end
    if there then count = count - 1 end
    if number == '' then
      version = version .. '-'
      call('HDEL', numbers, chat)
    else
      count = count + 1
      call('HSET', numbers, chat, number)
    end
    local kept = format('%d', math.max(count, 0))
    if kept == known[3] then
      call('HSET', versions, chat, version)
    else
      call('HSET', versions, chat, version, ' #', kept)
    end
    if changed then pcall('PUBLISH', channel, ARGV[user_of + e]) end
  end
end
return put
