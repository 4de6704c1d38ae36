-- Changes the identity of partitions, all or none.
--
-- KEYS  id keys of the partitions
-- ARGV  the new identity, then for each partition the identity that it must still have
-- Reply 1, or 0 if a partition has another one meanwhile

for k = 1, #KEYS do
  if redis.call('GET', KEYS[k]) ~= ARGV[k + 1] then return 0 end
end
for k = 1, #KEYS do redis.call('SET', KEYS[k], ARGV[1]) end
return 1
