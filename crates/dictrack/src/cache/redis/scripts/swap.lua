-- Replaces what a group was by what it is, if it still is what the caller thinks.
--
-- KEYS: the group, the dirty groups of its bucket, its definition set, its lease; where pieces of it wait, if there are some.
-- ARGV: 1 version and 2 token that the caller has, the token empty if the group is to be absent; 3 new version, empty if the
-- caller only wants to know whether it has the newest; 4 new token; 5 the caller's field; 6 the caller's sequence;
-- 7 the lease the caller took, or empty; 8 the group's id behind a = if the store is to follow, milliseconds behind a ~ if it
-- has the group already, which goes when it is idle for that long, or empty where there is no store; 9 the text of the
-- definition set, or empty; 10 how many fields go, or behind a + how many fields wait; those that go; then fields and their values.
--
-- Answers with a word: kept or applied (an earlier attempt of the same swap was), with the group's claim; absent, lease
-- (it was lost), set (its text is wanted), behind (with the fields that are newer), full (the whole
-- group has to be read; with the caller's last sequence, which a group that was lost since does not have), foreign.
local now = redis.call('HMGET', KEYS[1], 'version', 'token', 'stored', ARGV[5], 'claim')
local version, token, stored = now[1], now[2], now[3]
if not version then
  if redis.call('EXISTS', KEYS[1]) == 1 then return {'foreign'} end
  if ARGV[2] ~= '' then return {'absent'} end
  if ARGV[7] ~= '' and redis.call('GET', KEYS[4]) ~= ARGV[7] then return {'lease'} end
  -- A server that is short of memory may have dropped some pieces.
  if KEYS[5] and redis.call('HLEN', KEYS[5]) ~= tonumber(string.sub(ARGV[10], 2)) then return {'lease'} end
else
  if now[4] and tonumber(now[4]) >= tonumber(ARGV[6]) then return {'applied', now[5]} end
  if version ~= ARGV[1] or token ~= ARGV[2] then
    -- The ring holds the last swaps: their tokens and the fields that they changed.
    local ring = cjson.decode(redis.call('HGET', KEYS[1], 'ring') or '[]')
    local names, seen, found = {'version', 'token', 'claim', 'stored', 'kept', 'ids', 'generation', 'sequence', 'delivered', 'more', 'ring'}, {}, false
    for _, entry in ipairs(ring) do
      if found then
        if type(entry[2]) ~= 'table' then return {'full', now[4]} end
        for _, name in ipairs(entry[2]) do
          if not seen[name] then
            seen[name] = true
            names[#names + 1] = name
          end
        end
      elseif entry[1] == ARGV[2] then
        found = true
      end
    end
    -- A ring that does not end with what the group is was not written by a swap.
    if not found or #names > 4000 or ring[#ring][1] ~= token then return {'full', now[4]} end
    local values = redis.call('HMGET', KEYS[1], unpack(names))
    local answer = {'behind'}
    for at, name in ipairs(names) do
      answer[#answer + 1] = name
      answer[#answer + 1] = values[at]
    end
    return answer
  end
end
if ARGV[3] == '' then
  -- Nobody else has to wait for a group that there is none of.
  if not version and ARGV[7] ~= '' then redis.call('DEL', KEYS[4]) end
  return {'kept', now[5]}
end
if ARGV[9] ~= '' then
  redis.call('SET', KEYS[3], ARGV[9])
elseif redis.call('EXISTS', KEYS[3]) == 0 then
  return {'set'}
end
local first = 11
if KEYS[5] then
  redis.call('RENAME', KEYS[5], KEYS[1])
  redis.call('PERSIST', KEYS[1])
else
  first = 11 + tonumber(ARGV[10])
end
for at = 11, first - 1, 1000 do
  redis.call('HDEL', KEYS[1], unpack(ARGV, at, math.min(at + 999, first - 1)))
end
local last = math.min(#ARGV, first + 999)
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'token', ARGV[4], ARGV[5], ARGV[6], unpack(ARGV, first, last))
for at = last + 1, #ARGV, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
local follow = string.sub(ARGV[8], 1, 1)
if follow == '~' then
  redis.call('PEXPIRE', KEYS[1], string.sub(ARGV[8], 2))
  redis.call('PEXPIRE', KEYS[3], 2 * tonumber(string.sub(ARGV[8], 2)))
elseif follow == '=' and (not version or stored == version) then
  -- It was clean until now.
  redis.call('SADD', KEYS[2], string.sub(ARGV[8], 2))
  redis.call('PERSIST', KEYS[1])
  redis.call('PERSIST', KEYS[3])
end
if ARGV[7] ~= '' then redis.call('DEL', KEYS[4]) end
return {'kept', now[5]}
