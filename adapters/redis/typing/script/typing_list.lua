-- Lists a chat's live typing marks, in descending order of expiry. A mark that a stop, a send or another program has removed stays in the list until
-- it would have expired. A TTL longer than a mark's maximum, after the clock was set back, is shortened.
--
-- KEYS  the list of the chat's marks by expiry
-- ARGV  maximum number of marks to return, maximum lifetime of a mark in milliseconds
-- Reply the marks; they are in the list's slot

local list, most, looks, ttl = KEYS[1], tonumber(ARGV[1]), 4 * tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now, last = string.format('(%d', ms), string.format('%d', ms + ttl)
for _, mark in ipairs(redis.call('ZREVRANGEBYSCORE', list, '+inf', '(' .. last, 'LIMIT', 0, looks)) do
  if redis.call('PTTL', mark) > ttl then redis.call('PEXPIRE', mark, ttl) end
  redis.call('ZADD', list, 'XX', last, mark)
end
local marks = {}
for _, mark in ipairs(redis.call('ZREVRANGEBYSCORE', list, '+inf', now, 'LIMIT', 0, looks)) do
  if redis.call('EXISTS', mark) == 1 then marks[#marks + 1] = mark end
  if #marks == most then break end
end
return marks
