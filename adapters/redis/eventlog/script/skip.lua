-- Shortens the walk along the links of one entity to a seq far back. A link leads to the previous event only, so a walk reads every event of the
-- entity. The walk can continue from any event of the entity: bisection reads a few entries for each half.

-- FIELDS holds, by kind and type, the field that names the entity in the first version of an event. The log writes these fields before everything else
-- that a caller chose but the event id. Types that are missing here only make the walk longer.
local FIELDS = {
  m = {['message:edit'] = 'messageId', ['message:delete'] = 'messageId', ['message:erased'] = 'messageId'},
  x = {['message:reaction'] = 'messageId'},
  r = {['read:receipt'] = 'userId', ['message:new'] = 'senderId'},
  v = {['read:receipt'] = 'userId'},
  u = {['chat:update'] = 'userId'},
}

-- id_of returns the id that an entity's field in :x stands for: a message's field has a UUID as 16 bytes behind one of value 1.
local function id_of(kind, field)
  if kind ~= 'm' then
    field = string.sub(field, 3)
    if kind ~= 'x' then return field end
  end
  if #field ~= 17 or string.byte(field) ~= 1 then return field end
  local hex = string.gsub(string.sub(field, 2), '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  return string.gsub(hex, '^(........)(....)(....)(....)', '%1-%2-%3-%4-')
end

-- named reports whether the first field of a name has an id. Later ones may be content. Ids that JSON escapes are never found.
local function named(entry, field, id)
  local _, stop = string.find(entry, '"' .. field .. '":"', 1, true)
  return stop and string.match(entry, '^([^"\\]*)"', stop + 1) == id
end

-- LETTERS holds, by kind, the letters of compact entries whose subject is the entity.
local LETTERS = {m = '[edz]', x = 'x', r = '[rn]', v = 'r', u = 'c'}

-- moves reports whether an entry is one that moved an entity. It may miss some, and never takes another entry for one. Only an entry with a link of the kind
-- counts, and the chat is the only entity of its kind.
local function moves(entry, kind, id)
  if not string.find(entry, '^[^{]*' .. kind .. '%d') then return false end
  if kind == 'c' then return true end
  local letter, subject = ids_of(entry)
  if letter then return LETTERS[kind] and string.find(letter, LETTERS[kind]) and subject == packed(id) end
  if not string.find(entry, id, 1, true) then return false end
  if kind == 'o' then
    local _, stop = string.find(entry, '"actorId":"', 1, true)
    return stop and string.match(entry, '^[^"]*","entity":"([^"\\]*)"', stop + 1) == id
  end
  local what, version = string.match(entry, '"type":"([^"]*)","v":(%d+),')
  local field = version == '1' and FIELDS[kind] and FIELDS[kind][what]
  return field and named(entry, field, id)
end

-- skip returns the seq of an event that moved an entity: one between last and seq, or seq. spacing is about how many events lie between two of the entity.
-- It also returns how many steps of a walk that took, and after a fault nil, the seq and what is wrong.
local function skip(base, head, kind, id, last, seq, spacing)
  local width, steps = math.max(16, math.min(64, 2 * math.ceil(spacing))), 0
  while seq - last > width do
    local from = last + math.floor((seq - last - width) / 2) + 1
    local segment, index = segment_of(from)
    local fault = incomplete(base, segment, head)
    if fault then return nil, from, fault end
    local piece = call('LRANGE', base .. ':' .. segment, index, index + width - 1)
    local found
    for i = 1, #piece do
      if moves(piece[i], kind, id) then
        found = from + i - 1
        break
      end
    end
    steps = steps + 1 + math.floor((found and found - from or #piece) / 8)
    if found then seq = found else last = from + #piece - 1 end
  end
  return seq, steps
end
