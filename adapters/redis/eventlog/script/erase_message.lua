-- Appends a batch of erasures: commands that delete a message and erase its content, with message:delete and message:erased. The message is in the main timeline,
-- and no event but the one that sent it has moved it. plain.lua says what such scripts have in common.
--
-- ZADD is the first write of a command: it also shows a full memory. An entry of the list whose event differs from the caller's, and a legal hold, leave the
-- command to append.lua, which returns the reason.
--
-- ARGV  channel of message:erased or '' for no publication; then of each command: partition (from 1), chat, start of the chat's keys, field, sender and seq of the
--       message, the segment of its event and the index there, the SHA-1 that the event must have in the list, without links, and its erased form; of both events the
--       id, metadata, JSON up to the seq, JSON after the ordinal, and the body of the compact form or '' if the event stays JSON; field and fingerprint of the
--       command itself, which is recorded, or ''; number of further conditions, their fields, and for each the version, 0 for an entity that must not exist, as
--       the command, or '!' for any version

local sha1 = redis.sha1hex
local public_erased = ARGV[a]
a = a + 1

local function publish(channel, json)
  local reply = channel ~= '' and pcall('PUBLISH', channel, json)
  if type(reply) == 'table' then refused, refusal = refused + 1, reply.err end
end

-- error_of returns the error of a reply, or nil.
local function error_of(reply) return type(reply) == 'table' and reply.err or nil end

while ARGV[a] do
  local chat, base, field, sent, outcome = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 5], '?'
  local conditions = ARGV[a + 22] + 0
  local following = a + 23 + 2 * conditions
  repeat -- once: break leaves the command to append.lua
    if left and left[base] then break end
    local index = base .. ':x'
    local stored = pcall('HMGET', index, ' ', field, unpack(ARGV, a + 23, a + 22 + conditions))
    if not stored[1] or stored[2] ~= sent then break end
    local met = true
    for i = 1, conditions do met = met and holds(stored[2 + i], ARGV[a + 22 + conditions + i]) end
    if not met then break end
    local stop, ordinal, deleted, last = match(stored[1], '^(%d+):(%d+):(%d+):(%d+)$')
    if not stop then break end
    stop, deleted = stop + 0, deleted + 0
    local length = stop % SEGMENT
    if length == 0 or length > SEGMENT - 2 then break end -- a new segment
    local list = base .. ':' .. (stop < SEGMENT and '0' or (stop - length) / SEGMENT)
    local segment, place = base .. ':' .. ARGV[a + 6], ARGV[a + 7]
    local entry = pcall('LINDEX', segment, place)
    local from = type(entry) == 'string' and plain(entry, '{', 1, true)
    if not from or sha1(sub(entry, from)) ~= ARGV[a + 8] then break end
    local prefix, tombstones = sub(KEYS[2 * ARGV[a] - 1], 1, -3), base .. ':d'
    local held = pcall('HMGET', prefix .. 'holds', '', 'c' .. chat, 'u' .. ARGV[a + 4])
    if held.err or held[1] or held[2] or held[3] then break end
    if pcall('HEXISTS', base .. ':s', field) ~= 0 or pcall('ZCARD', tombstones) ~= deleted then break end -- a snapshot, or damage
    local stream, state = KEYS[streams + ARGV[a]], heard and heard[ARGV[a]]
    if state == false then break end

    local first, second = format('%d', stop + 1), format('%d', stop + 2)
    local deletion = ARGV[a + 12] .. first .. ',"ordinal":' .. ordinal .. ARGV[a + 13]
    local erasure = ARGV[a + 17] .. second .. ',"ordinal":' .. ordinal .. ARGV[a + 18]
    local head = second .. ':' .. ordinal .. ':' .. format('%d', deleted + 1) .. ':' .. last
    if pcall('ZADD', tombstones, 'NX', sent, sent) ~= 1 then break end
    local pushed = pcall('RPUSH', list,
      'm' .. sent .. (ARGV[a + 14] == '' and deletion or '{\2d' .. ordinal .. ':' .. ARGV[a + 14]),
      'm' .. first .. (ARGV[a + 19] == '' and erasure or '{\2z' .. ordinal .. ':' .. ARGV[a + 19]))
    local cause = error_of(pushed) or pushed ~= length + 2 and 'the last segment does not end at the head'
    local replaced = not cause and pcall('LSET', segment, place, sub(entry, 1, from - 1) .. ARGV[a + 9])
    cause = cause or replaced.err
    local one, two
    if not cause and begun then
      one = pcall('XADD', stream, '*', '_watermill_message_uuid', ARGV[a + 10], 'metadata', ARGV[a + 11], 'payload', deletion, 'chat', chat, 'seq', first)
    elseif not cause then -- trims one stream per batch, which is often enough
      one = pcall('XADD', stream, 'MAXLEN', '~', bound, '*', '_watermill_message_uuid', ARGV[a + 10], 'metadata', ARGV[a + 11], 'payload', deletion, 'chat', chat, 'seq', first)
    end
    cause = cause or one.err
    if not cause then
      two = pcall('XADD', stream, '*', '_watermill_message_uuid', ARGV[a + 15], 'metadata', ARGV[a + 16], 'payload', erasure, 'chat', chat, 'seq', second)
    end
    cause = cause or two.err
    local values = {' ', head, field, second .. ':3:' .. sent}
    if ARGV[a + 20] ~= '' then values[5], values[6] = ARGV[a + 20], second .. ':2:' .. ARGV[a + 21] end
    if (stop + 2) % PAD_EVERY < 2 then values[#values + 1], values[#values + 2] = ' #p', string.rep('-', PAD_BYTES) end
    cause = cause or error_of(pcall('HSET', index, unpack(values)))
    if cause then -- reverts the writes before it
      if two and not two.err and error_of(pcall('XDEL', stream, two)) or one and not one.err and error_of(pcall('XDEL', stream, one))
        or replaced and not replaced.err and error_of(pcall('LSET', segment, place, entry))
        or not error_of(pushed) and error_of(pcall('LTRIM', list, 0, -3)) or error_of(pcall('ZREM', tombstones, sent)) then
        return '-4 ' .. cause
      end
      break
    end
    begun, outcome = true, head
    pcall('HDEL', prefix .. 'previews', sub(base, #prefix + 1)) -- the view is a cache: the built-in group replaces what a refusal leaves
    if state then
      announce(state, one, first, chat, deletion)
      announce(state, two, second, chat, erasure)
    end
    publish(public, deletion)
    publish(public_erased, erasure)
  until true
  if outcome == '?' then
    left = left or {}
    left[base] = true
  end
  n = n + 1
  outcomes[n] = outcome
  a = following
end
