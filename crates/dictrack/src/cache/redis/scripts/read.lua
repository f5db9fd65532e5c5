-- Reads a group as a whole, unless it is a large one, which is read in pieces.
--
-- KEYS: the group.
--
-- Answers with its fields and their values, none if it is absent; of a large one with the number of its fields, and of its ids or
-- other parts of about that length.
local fields, ids = redis.call('HLEN', KEYS[1]), redis.call('HGET', KEYS[1], 'ids')
-- Only a group with more than 10,000 trackers has that block.
local blocks = redis.call('HGET', KEYS[1], 'b:79')
if not ids and not blocks and fields <= 10000 then return redis.call('HGETALL', KEYS[1]) end
return {fields, tonumber(ids) or (blocks and 64 * fields or fields)}
