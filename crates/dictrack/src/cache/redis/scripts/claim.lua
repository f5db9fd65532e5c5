-- Gives a group the number of a newer claim, where the one before came to nothing.
--
-- KEYS: the group. ARGV: 1 the claim it has, 2 the new one.
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'claim', ARGV[2])
  return 1
end
return 0
