-- Decides takes from limits, for the scripts that include it. take_limits only reads. write_limits writes the decided takes, so that a script can
-- decide everything before its first write. A take sees the earlier takes of the same script.
--
-- A fixed window is as in limit.lua. The value of a GCRA key is the time at which the limit is full again, in seconds since 2017. A time further away
-- than calls can cause, because the clock was set back or the limit was larger, counts as full: it would refuse calls for as long.

local take_limits, write_limits, exact
do
  local states, keys, time = {}, {}, nil -- state and planned write of each key; the keys in the order of their first use

  function exact(number) return string.format('%.17g', number) end

  local function now()
    if not time then
      local reply = redis.call('TIME')
      time = (reply[1] - 1483228800) + reply[2] / 1000000
    end
    return time
  end

  -- state_of returns the state of a key, or nil and the cause: '' if the key holds a value of another kind.
  local function state_of(key, window)
    if states[key] then return states[key] end
    local value, left = redis.pcall('GET', key), 0
    if type(value) == 'table' then return nil, string.find(value.err, 'WRONGTYPE', 1, true) and '' or value.err end
    local number = value and tonumber(value)
    if value and (not number or window and (#value > 15 or not string.find(value, '^%d+$') or exact(number) ~= value)) then return nil, '' end
    if value and window then
      left = redis.pcall('PTTL', key)
      if type(left) == 'table' then return nil, left.err end
    end
    states[key] = {number = number or nil, left = left, add = 0}
    keys[#keys + 1] = key
    return states[key]
  end

  -- decide returns a decision and the changes of the state.
  local function decide(state, window, n, most, step)
    if window then
      local count, left = state.number or 0, state.left
      local mend = state.number and (left < 0 or left > step)
      local begins = n > 0 and count == 0
      if mend or begins then left = step end
      if n > 0 and count + n > most then return {0, exact(count), exact(left)}, mend and {left = step, expire = step} end
      return {1, exact(count + n), exact(left)}, (mend or n > 0) and {number = count + n, left = left, add = state.add + n, expire = (mend or begins) and step}
    end
    local full, back = step * most, now()
    if state.number and state.number > now() and state.number <= now() + full + 1 then back = state.number end
    local after = back + step * n
    local early = after - full - now()
    if n > 0 and early > 0.000001 then return {0, exact(back - now()), exact(early)} end
    return {1, exact(after - now()), '0'}, n > 0 and {number = after, set = after}
  end

  local function plan(state, values)
    for name, value in pairs(values or {}) do state[name] = value or state[name] end
  end

  -- take_limits decides takes, each {'window' or 'gcra', key, n, calls per window or burst, window in milliseconds or seconds per call}: all are
  -- taken or none. It returns a decision for each, up to the first refusal. A decision is {1 or 0; count and milliseconds to the window's end, or
  -- seconds until the limit is full again and until it allows the take, as texts}. If a take cannot be decided, it also returns the place and the
  -- cause, '' if the key holds a value of another kind.
  function take_limits(takes)
    local decisions, plans = {}, {}
    for i, take in ipairs(takes) do
      local window = take[1] == 'window'
      local state, cause = state_of(take[2], window)
      if not state then return decisions, i, cause end
      decisions[i], plans[i] = decide(state, window, tonumber(take[3]), tonumber(take[4]), tonumber(take[5]))
      if decisions[i][1] == 0 then
        plan(state, plans[i])
        return decisions
      end
    end
    for i, take in ipairs(takes) do plan(states[take[2]], plans[i]) end
    return decisions
  end

  function write_limits()
    for _, key in ipairs(keys) do
      local state = states[key]
      if state.set then redis.call('SET', key, exact(state.set), 'PX', exact(math.ceil((state.set - now()) * 1000))) end
      if state.add > 0 then redis.call('INCRBY', key, exact(state.add)) end
      if state.expire then redis.call('PEXPIRE', key, exact(state.expire)) end
    end
  end
end

