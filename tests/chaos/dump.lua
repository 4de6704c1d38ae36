-- Reads all keys of a server: name, remaining time in milliseconds (0: no end) and value, one after another.
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
	all[#all + 1] = key
	all[#all + 1] = tostring(math.max(redis.call('PTTL', key), 0))
	all[#all + 1] = redis.call('DUMP', key)
end
return all
