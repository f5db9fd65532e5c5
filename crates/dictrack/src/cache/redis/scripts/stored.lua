-- Notes what the store holds of a group.
--
-- KEYS: the group, the dirty groups of its bucket, its definition set.
-- ARGV: 1 the claim, 2 the version and 3 its token that were saved; 4 milliseconds after which an idle group goes; 5 its id;
-- 6 how far that has the lists of a large group, or empty.
--
-- Answers with the group's version and token, nothing if it is absent or was claimed anew.
local now = redis.call('HMGET', KEYS[1], 'version', 'token', 'stored', 'claim')
if not now[1] then
  redis.call('SREM', KEYS[2], ARGV[5])
  return {}
end
if now[4] ~= ARGV[1] then return {} end
if tonumber(ARGV[2]) > tonumber(now[3]) then
  redis.call('HSET', KEYS[1], 'stored', ARGV[2])
  if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'kept', ARGV[6]) end
end
if now[1] == ARGV[2] and now[2] == ARGV[3] then
  redis.call('SREM', KEYS[2], ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], 2 * tonumber(ARGV[4]))
end
return {now[1], now[2]}
