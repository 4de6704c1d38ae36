-- Tells which of a chat's typing marks stand, those that stand longest first. A mark that a stop, a send or another program has removed is still
-- listed, until its time has passed.
--
-- KEYS  the list of the chat's marks, by when they expire
-- ARGV  how many to tell at most
-- Reply the marks; they lie in the list's slot

local list, most, looks = KEYS[1], tonumber(ARGV[1]), 4 * tonumber(ARGV[1])
local time = redis.call('TIME')
local now = string.format('(%d', time[1] * 1000 + math.floor(time[2] / 1000))
local marks = {}
for _, mark in ipairs(redis.call('ZREVRANGEBYSCORE', list, '+inf', now, 'LIMIT', 0, looks)) do
  if redis.call('EXISTS', mark) == 1 then marks[#marks + 1] = mark end
  if #marks == most then break end
end
return marks
