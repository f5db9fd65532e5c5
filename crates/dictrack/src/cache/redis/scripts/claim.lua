-- Gives a group the number of a newer claim, where the one before came to nothing.
--
-- KEYS: the group, its lease. ARGV: 1 the claim it has, 2 the new one, 3 the lease the caller took.
--
-- Answers 1 if it did. The lease is given back.
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end
redis.call('DEL', KEYS[2])
if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'claim', ARGV[2])
return 1
