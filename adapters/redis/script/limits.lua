-- Takes calls from limits, from all or from none; see take.lua.
--
-- KEYS  of each limit, the counter or what GCRA keeps
-- ARGV  of each limit: 'window' or 'gcra'; calls to take; calls in a window, or at once; the window in milliseconds, or seconds from one call to the next
-- Reply for each limit, up to the first that refuses: 1 if it lets, 0 if it does not, -1 if the key holds something else; then the count and
--       milliseconds to the window's end, or seconds until all is there again and until it would let, as texts
--
-- Nothing is written before all is decided.

local takes = {}
for i, key in ipairs(KEYS) do takes[i] = {ARGV[4 * i - 3], key, ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i]} end
local decisions, place, cause = take_limits(takes)
if place and cause ~= '' then return redis.error_reply(cause) end
local reply = {}
for _, decision in ipairs(decisions) do
  for _, value in ipairs(decision) do reply[#reply + 1] = value end
end
if place then
  for _, value in ipairs({-1, '', ''}) do reply[#reply + 1] = value end
  return reply
end
write_limits()
return reply
