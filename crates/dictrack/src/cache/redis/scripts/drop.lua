-- Drops a group that is behind the store, if it still is what the caller saw.
--
-- KEYS: the group, the dirty groups of its bucket. ARGV: 1 version, 2 token, 3 the group's id.
local now = redis.call('HMGET', KEYS[1], 'version', 'token')
if now[1] == ARGV[1] and now[2] == ARGV[2] then
  redis.call('DEL', KEYS[1])
  redis.call('SREM', KEYS[2], ARGV[3])
  return 1
end
return 0
