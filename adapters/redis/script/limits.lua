-- Takes calls from limits, from all or from none.
--
-- A fixed window is as in limit.lua. Of GCRA a key holds when all that was taken is there again, in seconds since 2017. So much that no calls took it,
-- because the clock was set back or the limit was a larger one, is nothing: it would refuse for as long.
--
-- KEYS  of each limit, the counter or what GCRA keeps
-- ARGV  of each limit: 'window' or 'gcra'; calls to take; calls in a window, or at once; the window in milliseconds, or seconds from one call to the next
-- Reply for each limit, up to the first that refuses: 1 if it lets, 0 if it does not, -1 if the key holds something else; then the count and
--       milliseconds to the window's end, or seconds until all is there again and until it would let, as texts
--
-- Nothing is written before all is decided, except that a counter that refuses for longer than the window gets the window.

local time = redis.call('TIME')
local now = (time[1] - 1483228800) + time[2] / 1000000
local reply, writes = {}, {}
local function say(...)
  for _, value in ipairs({...}) do reply[#reply + 1] = value end
end
local function exact(number) return string.format('%.17g', number) end

for i, key in ipairs(KEYS) do
  local n, most, step = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local value = redis.pcall('GET', key)
  if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then return value end
  local number = type(value) == 'string' and tonumber(value)
  if value and not number then
    say(-1, '', '')
    return reply
  end
  if ARGV[4 * i - 3] == 'window' then
    if value and (#value > 15 or not string.find(value, '^%d+$') or exact(number) ~= value) then
      say(-1, '', '')
      return reply
    end
    local count, left = number or 0, value and redis.call('PTTL', key) or 0
    local mend = value and (left < 0 or left > step)
    if mend or n > 0 and count == 0 then
      left = step
      writes[#writes + 1] = {'PEXPIRE', key, exact(step)}
    end
    if n > 0 and count + n > most then
      if mend then redis.call('PEXPIRE', key, exact(step)) end
      say(0, exact(count), exact(left))
      return reply
    end
    if n > 0 then table.insert(writes, 1, {'INCRBY', key, exact(n)}) end
    say(1, exact(count + n), exact(left))
  else
    local full, back = step * most, now
    if number and number > now and number <= now + full + 1 then back = number end
    local after = back + step * n
    local early = after - full - now
    if n > 0 and early > 0.000001 then
      say(0, exact(back - now), exact(early))
      return reply
    end
    if n > 0 then writes[#writes + 1] = {'SET', key, exact(after), 'PX', exact(math.ceil((after - now) * 1000))} end
    say(1, exact(after - now), '0')
  end
end
for _, write in ipairs(writes) do redis.call(unpack(write)) end
return reply
