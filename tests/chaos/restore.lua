-- Replaces everything on a server by what dump.lua read, in one step.
-- ARGV  as dump.lua gives it
redis.call('FLUSHALL')
for i = 1, #ARGV, 3 do
	redis.call('RESTORE', ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
return #ARGV / 3
