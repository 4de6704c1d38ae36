-- Replaces all data of a server by a dump of dump.lua, in one step. ARGV the reply of dump.lua
redis.call('FLUSHALL')
for i = 1, #ARGV, 3 do
	redis.call('RESTORE', ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
return #ARGV / 3
