-- Makes a step of one user's presence: a heartbeat, a leave, a chosen status, or the expiry of heartbeats. It publishes the transition atomically, so
-- that a user's transitions are published in their order. It uses Redis's clock.
--
-- A heartbeat of a known connection only moves its end, unless the user's entry in the due index ends soon. So an entry may be early: readers of the
-- index check ' last', which is exact. The keys with a TTL are renewed together with the entry.
--
-- KEYS  the record, HASH; the devices with live heartbeats, JSON; the status, JSON; the due index, ZSET user → end of the last heartbeat; the set of
--       online users, SET, absent if it is in another slot
-- ARGV  beat, leave, set or expire; the connection, or the chosen status; user; lifetimes in milliseconds: of a heartbeat, of a chosen status after
--       the last heartbeat and of the devices' key, of the status; and the publication of a transition, which a heartbeat seldom needs and may omit:
--       channel; the event's JSON up to the time, and from there up to the status
-- Reply 0 if only an end moved; {1 if a transition was published or 0, status, last seen, now, error of PUBLISH if it was refused}; {2} if there is
--       no record of a user who leaves or expires; {3} if the step would be a transition and the publication is missing: nothing was done; {-1,
--       number of the key, its type} if a key has another type: nothing was done
--
-- A connection is a device, or a device, a space and the connection's id. Statuses are 0 offline, 1 online, 2 away, 3 busy. Instants are in
-- milliseconds since 1970. Fields of the record:
--  CONNECTION  end of its heartbeat
--  ' chosen'   the status that the user chose
--  ' told'     the last published status
--  ' seen'     the last sign of life, without later heartbeats
--  ' due'      the user's entry in the due index      } only while
--  ' last'     the exact end of the last heartbeat    } there are heartbeats
--  ' absent'   only while there are none: the end of the last heartbeat, or the time of a later choice

local call, floor, tonumber = redis.call, math.floor, tonumber
local record, op, what, life = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[4])
local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

if op == 'beat' then
  local known = call('HMGET', record, what, ' due')
  local left, index = (tonumber(known[1] or 0) or 0) - now, (tonumber(known[2] or 0) or 0) - now
  if left > 0 and left <= life and index > life / 2 and index <= life then
    call('HSET', record, what, now + life, ' last', now + life)
    return 0
  end
end

local devices, status_key, due, online = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user, kept, status_ttl, channel, head, middle = ARGV[3], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local NAMES = {[0] = 'offline', 'online', 'away', 'busy'}
local MAX_CONNECTIONS = 100
local RECORD_TTL = math.max(86400000, life + kept) -- of a record whose end no sweep finds; the choice must not expire earlier

local function number(text) return tonumber(text or 0) or 0 end

local KINDS = {'hash', 'string', 'string', 'zset', 'set'}
for i = 1, #KEYS do
  local kind = call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= KINDS[i] then
    if op == 'expire' and i ~= 4 and call('TYPE', due).ok == 'zset' then
      call('ZADD', due, 'XX', now + life, user) -- lets the sweep handle other users first
    end
    return {-1, i, 'a ' .. kind}
  end
end

-- The present state. An end too far in the future was written while the clock was ahead.
local own, ends, gone, changed, count, beat, ended = {}, {}, {}, {}, 0, 0, nil
local fields = call('HGETALL', record)
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  if string.sub(field, 1, 1) == ' ' then
    own[field] = value
  else
    local last = number(value)
    beat = math.max(beat, last - life)
    if last > now then
      if last > now + life then
        last = now + life
        changed[#changed + 1] = field
      end
      ends[field] = last
      count = count + 1
    else
      gone[#gone + 1] = field
      ended = math.max(ended or 0, last)
    end
  end
end
local absent = number(own[' absent'])
absent = math.min(absent > 0 and absent or ended or now, now)
local chosen, told, seen = tonumber(own[' chosen'] or 1) or 1, number(own[' told']), math.min(math.max(number(own[' seen']), beat), now)
if not NAMES[chosen] then chosen = 1 end
if #fields == 0 and (op == 'leave' or op == 'expire') then
  local last = call('ZSCORE', due, user)
  if not last then return {2} end
  told, seen = -1, math.max(0, math.min(tonumber(last), now) - life) -- the record is lost: a second publication is better than none
end

local function drop(connection)
  ends[connection] = nil
  gone[#gone + 1] = connection
  count = count - 1
end

if op == 'beat' then
  if count == 0 and now - absent >= kept then chosen = 1 end
  if not ends[what] then count = count + 1 end
  ends[what], seen = now + life, now
  changed[#changed + 1] = what
  while count > MAX_CONNECTIONS do
    local first
    for connection, last in pairs(ends) do
      if connection ~= what and (not first or last < ends[first] or last == ends[first] and connection < first) then first = connection end
    end
    drop(first)
  end
elseif op == 'leave' then
  if ends[what] then
    drop(what)
    seen, absent = now, now
  end
elseif op == 'set' then
  chosen, absent = tonumber(what), now
  if count > 0 then seen = now end
end
local status = count > 0 and chosen or 0
if status ~= told and not channel then return {3} end

local function instant(ms)
  local seconds = floor(ms / 1000)
  local rest, z = seconds % 86400, floor(seconds / 86400) + 719468 -- days since 1 March 0000
  local era = floor(z / 146097)
  local day = z - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  local m = floor((5 * day + 2) / 153)
  local month = m < 10 and m + 3 or m - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day - floor((153 * m + 2) / 5) + 1,
    floor(rest / 3600), floor(rest / 60) % 60, rest % 60, ms % 1000)
end

-- Of the characters in ids, JSON escapes only these two.
local function quoted(id) return '"' .. string.gsub(id, '["\\]', '\\%0') .. '"' end

local function show()
  call('SET', status_key, '{"userId":' .. quoted(user) .. ',"status":"' .. NAMES[status] .. '","lastSeen":"' .. instant(seen) .. '"}', 'PX', status_ttl)
end

-- The record, with ' told', is written last: if a write is refused, the step can be repeated and then publishes the transition. A second publication
-- is better than none. A refused PUBLISH does not change the outcome.
local list, listed, last = {}, {}, 0
for connection, at in pairs(ends) do
  local device = string.match(connection, '^[^ ]+')
  if not listed[device] then
    listed[device] = true
    list[#list + 1] = quoted(device)
  end
  last = math.max(last, at)
end
if count > 0 then
  table.sort(list)
  call('SET', devices, '{"userId":' .. quoted(user) .. ',"devices":[' .. table.concat(list, ',') .. ']}', 'PX', ARGV[5])
  show()
  call('ZADD', due, last, user)
  if online then call(status > 0 and 'SADD' or 'SREM', online, user) end
else
  call('DEL', devices)
  if told ~= 0 then show() end
  if online then call('SREM', online, user) end
end

local refusal
if status ~= told then
  local reply = redis.pcall('PUBLISH', channel, head .. instant(now) .. middle .. NAMES[status] .. '","lastSeen":"' .. instant(seen) .. '"}')
  refusal = type(reply) == 'table' and reply.err or nil
end

-- HSET sets the fields to remove to 0 together with the others; HDEL only deletes them afterwards. PEXPIRE also runs before HSET, so that a record
-- never stays without a TTL.
local over, set = {}, {' chosen', chosen, ' told', status, ' seen', seen}
local function put(field, value)
  set[#set + 1] = field
  set[#set + 1] = value
end
local function take(field)
  over[#over + 1] = field
  put(field, 0)
end
local function remember(ttl)
  call('PEXPIRE', record, ttl)
  for i = 1, #set, 1000 do
    call('HSET', record, unpack(set, i, math.min(i + 999, #set)))
  end
  call('PEXPIRE', record, ttl)
  for i = 1, #over, 1000 do
    call('HDEL', record, unpack(over, i, math.min(i + 999, #over)))
  end
end
for _, connection in ipairs(gone) do
  if not ends[connection] then take(connection) end -- unless it has come back in this step
end
if count > 0 then
  put(' due', last)
  put(' last', last)
  if own[' absent'] then take(' absent') end
  for _, connection in ipairs(changed) do
    if ends[connection] then put(connection, ends[connection]) end
  end
  remember(RECORD_TTL)
else
  local left = absent + kept - now -- of the choice; without a choice to remember the record is not needed
  if left > 0 then
    put(' absent', absent)
    if own[' due'] then take(' due') end
    if own[' last'] then take(' last') end
    remember(left)
  else
    call('DEL', record)
  end
  call('ZREM', due, user) -- while the user is in the index, the sweep repeats the step
end

if status == told then return {0, status, seen, now} end
return {1, status, seen, now, refusal}
