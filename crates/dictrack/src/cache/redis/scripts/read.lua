-- Reads a group as a whole, unless it is a large one, which is read in pieces.
--
-- KEYS: the group.
--
-- Answers with its fields and their values, none if it is absent; of a large one with the number of its fields and of its ids.
local fields, ids = redis.call('HLEN', KEYS[1]), redis.call('HGET', KEYS[1], 'ids')
if not ids and fields <= 10000 then return redis.call('HGETALL', KEYS[1]) end
return {fields, tonumber(ids) or fields}
