-- Takes calls from several limits, from all or from none; see take.lua.
--
-- KEYS  for each limit its counter or its GCRA state
-- ARGV  for each limit: 'window' or 'gcra'; calls to take; calls per window or burst; the window in milliseconds, or seconds per call
-- Reply for each limit, up to the first that refuses: 1 if it allows the calls, 0 if not, -1 if the key holds a value of another kind; then the count
--       and milliseconds to the window's end, or seconds until the limit is full again and until it allows the calls, as texts
--
-- All limits are decided before the first write.

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
