-- Reads the requested events of one chat: events that sent messages, those of them whose messages are deleted, or events by and about a user. A call
-- reads a bounded number of entries and returns the seq to continue from.
--
-- Every entry has its ordinal, the number of messages up to it. So the entries that sent messages are found by bisection: each takes about log2 of
-- the distance to the next message in reads, regardless of the events in between. If all entries of a range sent messages, the range is read at once.
-- Backwards, the link of a message to the message before replaces the bisection where there is one.
--
-- KEYS  the partition's id key
-- ARGV  log id, chat as in keys, the kind of events ('messages', 'tombstones' or 'user'), first seq or 0 for the start of the direction, '1' to read
--       backwards, last seq that counts or 0 for all, maximum number of events, and for 'user': the user, the user as a JSON string, then type and
--       version of each event that the caller knows
-- Reply {head, seq to continue from or 0 at the end, seq, event, seq, event, … in the direction's order}, {-1} if the partition belongs to another
--       log, or {-2, seq, cause} if a key or an event of the chat is missing at that seq

local PROBES, WEIGHT = 512, 4096 -- an entry counts as one, and one more for each WEIGHT bytes
local scanned = ARGV[3] == 'user' and 4 or 2 -- entries read in sequence that count as one

local log_id, chat, what, from, backward = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local until_seq, limit, user, quoted = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
if call('GET', KEYS[1]) ~= log_id then return {-1} end

local prefix = string.sub(KEYS[1], 1, -3)
local base = prefix .. chat
local head, missing, _, buried, newest = head_of(prefix, chat)
if not head then return {-2, 0, missing} end

local first, last = math.max(1, from), head
if until_seq > 0 and until_seq < last then last = until_seq end
if backward then
  first = 1
  if from > 0 and from < last then last = from end
end
if first > last then return {head, 0} end

local spent, wrong, stopped = 0, nil, false
local found, count, entries = {head, 0}, 0, {}

local function take(seq, entry)
  count = count + 1
  found[#found + 1], found[#found + 2] = seq, entry
end

-- placed returns the ordinal and the type of an entry. If the entry is not the one of that seq, placed sets wrong.
local function placed(seq, entry)
  spent = spent + math.floor(#entry / WEIGHT)
  local ordinal, kind = event_of(entry, seq)
  if ordinal then return ordinal, kind end
  wrong = {-2, seq, 'the entry is not that of this seq'}
end

-- ordinal_at returns the number of messages up to a seq and the type of its entry, and stores the entry in entries.
local function ordinal_at(seq)
  if seq == 0 then return 0 end
  local segment, index = segment_of(seq)
  local fault = incomplete(base, segment, head)
  if fault then
    wrong = {-2, seq, fault}
    return
  end
  spent = spent + 1
  local entry = call('LINDEX', base .. ':' .. segment, index)
  entries[seq] = entry
  return placed(seq, entry)
end

-- each calls fn with the entries of a range, in the direction's order, until fn returns true or the call has read enough entries. It returns the last
-- seq passed to fn.
local function each(lowest, highest, fn)
  local seq, given = backward and highest or lowest, nil
  while seq >= lowest and seq <= highest do
    local segment, index = segment_of(seq)
    local fault = incomplete(base, segment, head)
    if fault then
      wrong = {-2, seq, fault}
      return given
    end
    local start, stop = index, math.min(index + 15, index + highest - seq, SEGMENT - 1)
    if backward then start, stop = math.max(0, index - 15, index - (seq - lowest)), index end
    local piece = call('LRANGE', base .. ':' .. segment, start, stop)
    for i = 1, #piece do
      local n = backward and #piece + 1 - i or i
      given = segment * SEGMENT + start + n
      spent = spent + 1 / scanned
      if fn(given, piece[n]) or wrong then return given end
    end
    if spent >= PROBES then return given end
    seq = backward and given - 1 or given + 1
  end
  return given
end

-- dense takes the entries of a range that consists of sent messages only.
local function dense(lo, before, hi)
  local final = each(lo + 1, hi, function(seq, entry)
    local ordinal = placed(seq, entry)
    if wrong then return true end
    if ordinal ~= before + seq - lo then wrong = {-2, seq, 'the ordinal is not that of a message after the one before'} return true end
    take(seq, entry)
    return count == limit
  end)
  if not wrong and final ~= (backward and lo + 1 or hi) then stopped = true end
end

-- bisect takes the entries that sent messages after lo, up to hi. before and upto are the ordinals at lo and hi.
local function bisect(lo, before, hi, upto)
  if wrong or stopped or count == limit or before == upto then return end
  if upto < before or upto - before > hi - lo then
    wrong = {-2, hi, 'the ordinals contradict each other'}
    return
  end
  if count > 0 and spent >= PROBES then
    stopped = true
    return
  end
  if upto - before == hi - lo then
    if hi - lo == 1 and entries[hi] then return take(hi, entries[hi]) end
    return dense(lo, before, hi)
  end
  local mid = lo + math.floor((hi - lo) / 2)
  local ordinal = ordinal_at(mid)
  if wrong then return end
  if backward then
    bisect(mid, ordinal, hi, upto)
    bisect(lo, before, mid, ordinal)
  else
    bisect(lo, before, mid, ordinal)
    bisect(mid, ordinal, hi, upto)
  end
end

-- messages moves away from the start in doubling steps until the range has the requested number of messages, and then bisects it.
local function messages()
  local lo, hi, step = first - 1, last, limit
  if backward then
    local upto = ordinal_at(hi)
    local before
    repeat
      lo = math.max(hi - step, 0)
      before = not wrong and ordinal_at(lo)
      step = step * 2
    until wrong or lo == 0 or upto - before >= limit
    if not wrong then bisect(lo, before, hi, upto) end
  else
    local before = ordinal_at(lo)
    local upto
    repeat
      hi = math.min(lo + step, last)
      upto = not wrong and ordinal_at(hi)
      step = step * 2
    until wrong or hi == last or upto - before >= limit
    if not wrong then bisect(lo, before, hi, upto) end
  end
  if stopped then found[2] = found[#found - 1] + (backward and -1 or 1) end
end

-- linked takes messages backwards, from the one at seq on, by their links. It reads neighbors together. It returns the seq of a message without a link,
-- below which the search must continue, or nil.
local function linked(seq)
  local expected, span
  while true do
    if not entries[seq] then
      if span then
        each(math.max(seq - 15, math.floor((seq - 1) / SEGMENT) * SEGMENT + 1), seq, function(here, entry) entries[here] = entry end)
      else
        ordinal_at(seq)
      end
      if wrong then return nil end
    end
    local entry = entries[seq]
    local ordinal, kind = placed(seq, entry)
    if wrong then return nil end
    if kind ~= 'message:new' or expected and ordinal ~= expected then
      wrong = {-2, seq, 'the entry is not the message that a link names'}
      return nil
    end
    take(seq, entry)
    if count == limit or ordinal == 1 then return nil end
    local before = tonumber(string.match(entry, '^[^{]*p(%d+)') or 0)
    if before == 0 then return seq end
    if before >= seq then
      wrong = {-2, seq, 'the link to the message before is wrong'}
      return nil
    end
    if spent >= PROBES then
      found[2] = seq - 1
      return nil
    end
    span, seq, expected = seq - before < 4, before, ordinal - 1
  end
end

-- latest takes messages backwards. It finds the first of them by the head or by its ordinal, and the others by links where there are any.
local function latest()
  local seq, kind = newest, 'message:new'
  if last < newest then
    seq, _, kind = message_before(last, function(probe)
      local ordinal, of = ordinal_at(probe)
      return ordinal, entries[probe], of
    end)
    if wrong or kind ~= 'message:new' then return end
  end
  seq = linked(seq)
  if not seq or seq == 1 then return end
  last = seq - 1
  messages()
end

local function tombstones()
  local deleted = string.format('%d', call('ZCARD', base .. ':d'))
  if deleted ~= (buried and string.format('%d', buried) or call('HGET', base .. ':x', ' #d') or '0') then
    wrong = {-2, 0, 'the count of :d is not what the index says'}
    return
  end
  local seqs
  local most = math.min(limit, PROBES)
  if backward then
    seqs = call('ZREVRANGEBYSCORE', base .. ':d', last, first, 'LIMIT', 0, most)
  else
    seqs = call('ZRANGEBYSCORE', base .. ':d', first, last, 'LIMIT', 0, most)
  end
  for i, text in ipairs(seqs) do
    local seq = tonumber(text)
    ordinal_at(seq)
    if wrong then return end
    take(seq, entries[seq])
    if i == most and count < limit or spent >= PROBES and i < #seqs then
      found[2] = seq + (backward and -1 or 1)
      return
    end
  end
end

-- events_of_user takes the events whose own fields name the user. It also takes events of types and versions that the caller does not know, except
-- custom events, whose fields are the same in all versions.
-- Plain searches skip most entries: those of a type and version that the caller reads, without the user's id. They cost a fifth of a pattern.
local function events_of_user()
  local find, sub, id = string.find, string.sub, packed(user)
  local raw = sub(id, 1, 1) == '\1' and sub(id, 2) or id
  local known, readable = {}, {}
  for i = 10, #ARGV, 2 do
    known[ARGV[i]] = true
    readable[ARGV[i] .. '","v":' .. ARGV[i + 1]] = true
  end
  local final = each(first, last, function(seq, entry)
    local letter = string.match(entry, '^[^{]*{\2(%l)')
    if letter then
      local reads = known[TYPES[letter]]
      if reads and not find(entry, raw, 1, true) then
        spent = spent + math.floor(#entry / WEIGHT)
        return
      end
      placed(seq, entry)
      if wrong then return true end
      local _, subject, other = ids_of(entry) -- of which one or both are users
      if reads and not (subject == id and find('nrct', letter, 1, true) or other == id and find('edxcz', letter, 1, true)) then return end
      take(seq, entry)
      return count == limit
    end
    local _, before = find(entry, '","type":"', 1, true)
    local after = before and find(entry, ',"timestamp":"', before, true)
    local reads = after and readable[sub(entry, before + 1, after - 1)]
    if reads and not find(entry, quoted, 1, true) then
      spent = spent + math.floor(#entry / WEIGHT)
      return
    end
    placed(seq, entry)
    if wrong then return true end
    local ok, event = pcall(cjson.decode, sub(entry, find(entry, '{', 1, true), -1))
    if ok and type(event) == 'table' and (reads or not known[event.type] and type(event.data) == 'table')
      and event.actorId ~= user and event.userId ~= user and event.senderId ~= user and event.editorId ~= user and event.deletedBy ~= user
      and event.erasedBy ~= user then return end
    take(seq, entry)
    return count == limit
  end)
  if final and count < limit and final ~= (backward and first or last) then found[2] = final + (backward and -1 or 1) end
end

if what == 'messages' then
  if backward and (newest or 0) > 0 then latest() else messages() end
elseif what == 'tombstones' then
  tombstones()
else
  events_of_user()
end
return wrong or found
