-- Records an operator's action. KEYS 1 records, a list; 2 chat → epoch of its latest effect, a hash ARGV 1 what; 2 the group, as a delivery; 3
-- whether epochs begin anew: 0 or 1
local records, epochs = KEYS[1], KEYS[2]
local what, delivery, anew = ARGV[1], ARGV[2], ARGV[3]
if anew == '1' then redis.call('DEL', epochs) end
local now = redis.call('TIME')
redis.call('RPUSH', records, table.concat({what, string.format('%.0f', now[1] * 1000000 + now[2]), delivery}, '\t'))
return what
