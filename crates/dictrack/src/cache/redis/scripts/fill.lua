-- Puts a piece of a group that is loaded from the store where nobody looks for it yet, and keeps the lease alive.
--
-- KEYS: the lease, where the pieces go. ARGV: 1 the lease that the caller took; 2 milliseconds that it lasts from now, and 3 that
-- the pieces do; then fields and their values.
--
-- Answers 1, and 0 if the lease was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for at = 4, #ARGV, 1000 do
  redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
