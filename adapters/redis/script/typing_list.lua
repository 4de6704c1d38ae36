-- Tells which of a chat's typing marks stand, those that stand longest first.
--
-- KEYS  the list of the chat's marks, by when they expire
-- ARGV  how many to tell at most
-- Reply the marks; they lie in the list's slot

local list, most = KEYS[1], tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local marks = {}
for _, mark in ipairs(redis.call('ZREVRANGEBYSCORE', list, '+inf', string.format('(%d', now), 'LIMIT', 0, most)) do
  if redis.call('EXISTS', mark) == 1 then marks[#marks + 1] = mark end
end
return marks
