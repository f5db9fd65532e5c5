-- Reads what a caller lacks of a large group, having read its fields piece by piece while others changed it.
--
-- KEYS: the group. ARGV: 1 the version and 2 the sequence up to which the caller has all that came with them; 3 the claim
-- and 4 the definition set that it saw, and 5 whether it saw blocks of trackers (1) or none; then the fields that may have changed.
--
-- Answers nothing if the group is absent, or is another one by now; else with a word (more: there is too much for one answer; all),
-- the version and the sequence up to which the caller then has everything, and fields with their values.
local now = redis.call('HMGET', KEYS[1], 'version', 'sequence', 'claim', 'set', 'b:0')
if not now[1] or now[3] ~= ARGV[3] or now[4] ~= ARGV[4] or (now[5] and '1' or '') ~= ARGV[5] then return {} end
local answer = {'all', now[1], now[2]}
local function take(names)
  for at = 1, #names, 1000 do
    local some = {unpack(names, at, math.min(at + 999, #names))}
    local values = redis.call('HMGET', KEYS[1], unpack(some))
    for at, name in ipairs(some) do
      if values[at] then
        answer[#answer + 1] = name
        answer[#answer + 1] = values[at]
      end
    end
  end
end
local function new(from, to, word, at)
  local last = math.min(tonumber(to), tonumber(from) + 10000)
  if last < tonumber(to) then
    answer[1] = 'more'
    answer[at] = string.format('%.0f', last)
  end
  local names = {}
  for number = tonumber(from) + 1, last do names[#names + 1] = word .. string.format('%.0f', number) end
  take(names)
end
new(ARGV[1], now[1], 'i:', 2)
new(ARGV[1], answer[2], 'c:', 2)
new(ARGV[1], answer[2], 'd:', 2)
new(ARGV[2], now[2], 'e:', 3)
if answer[1] == 'all' then
  take({unpack(ARGV, 6, math.min(#ARGV, 7000))})
  for at = 7001, #ARGV, 7000 do take({unpack(ARGV, at, math.min(#ARGV, at + 6999))}) end
end
return answer
