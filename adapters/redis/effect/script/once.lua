-- Executes commands once: it sets a marker together with them, and does nothing if the marker exists.
--
-- Phase 1 checks every key: its value must fit the commands, given the earlier commands of the same call. Phase 2 writes, first the marker, which a
-- full memory refuses. If a later command fails, because the Redis user lacks a right, the marker contains the number of executed commands: the same
-- call then continues after them and repeats none.
--
-- KEYS  the marker, '1' or "done COUNT"; the keys of the commands
-- ARGV  TTL of the marker in milliseconds, number of commands, and for each: number of its words, required type of its key ('' for any), type of the
--       key after it ('' for none, '=' for unchanged, '-' if it has no key), where it needs a whole number: 'k' in the key, 'f' in the field named by
--       its third word, or ''; the words
-- Reply {1} if the commands were executed, {0} if they were executed before, {-1, number of the command from 1, text about its key's value} if they
--       cannot be executed

local marker, ttl, commands = KEYS[1], ARGV[1], tonumber(ARGV[2])
local held = redis.pcall('GET', marker)
if type(held) == 'table' and not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
local progress = type(held) == 'string' and string.match(held, '^done (%d+)$')
if held and not progress then return {0} end
local done = tonumber(progress or 0)

local kinds, fresh = {}, {} -- types of the keys after the commands so far; whether these commands have emptied them
local function counts(text)
  return not text or #text < 19 and string.match(text, '^%-?%d+$') ~= nil
end

local first, at = {}, 3
for c = 1, commands do
  local words, needs, leaves, number = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  first[c] = at + 4
  if c > done and leaves ~= '-' then
    local key = ARGV[at + 5]
    local kind = kinds[key] or redis.call('TYPE', key).ok
    if kind ~= 'none' and needs ~= '' and kind ~= needs then return {-1, c, 'a ' .. kind} end
    if kind ~= 'none' and not fresh[key] then
      if number == 'k' and (redis.call('STRLEN', key) > 19 or not counts(redis.call('GET', key) or nil)) then
        return {-1, c, 'a text that does not count'}
      end
      if number == 'f' and (redis.call('HSTRLEN', key, ARGV[at + 6]) > 19 or not counts(redis.call('HGET', key, ARGV[at + 6]) or nil)) then
        return {-1, c, 'a field that does not count'}
      end
    end
    if leaves == '' then
      kinds[key], fresh[key] = 'none', true
    else
      kinds[key] = leaves == '=' and kind or leaves
    end
  end
  at = at + 4 + words
end
first[commands + 1] = at + 4

redis.call('SET', marker, '1', 'PX', ttl)
for c = done + 1, commands do
  local reply = redis.pcall(unpack(ARGV, first[c], first[c + 1] - 5))
  if type(reply) == 'table' and reply.err then
    redis.call('SET', marker, 'done ' .. c - 1, 'PX', ttl)
    return redis.error_reply(reply.err)
  end
end
return {1}
