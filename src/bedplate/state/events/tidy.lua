-- Removes what all groups have answered for and is old, and says how the groups are. KEYS: stream, dead. ARGV: for how
-- many ms what was answered for is kept, how many entries are counted at most, ms after which a silent consumer that
-- owes nothing is forgotten. Returns {entries, dead, {group, entries that wait, for how many ms the oldest of them has
-- waited or -1}…}. Ids are times of this server, so the time is asked here: no instance's clock removes anything.

local function ms(id)
  return tonumber(string.match(id, '^%d+'))
end

-- Whether an id is before another: many are of one millisecond.
local function before(id, other)
  if ms(id) ~= ms(other) then
    return ms(id) < ms(other)
  end
  return tonumber(string.match(id, '%d+$')) < tonumber(string.match(other, '%d+$'))
end

local reply = {}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local least = string.format('%.0f-0', math.max(now - ARGV[1], 0))
local any = redis.call('EXISTS', KEYS[1]) == 1
if any then
  local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
  for _, group in ipairs(groups) do
    local of = {}
    for at = 1, #group, 2 do
      of[group[at]] = group[at + 1]
    end
    local last = of['last-delivered-id']
    local fresh = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', ARGV[2])
    local owed = redis.call('XPENDING', KEYS[1], of['name'])
    local oldest = owed[2] or (fresh[1] and fresh[1][1]) or nil
    local safe = owed[2] or last
    if before(safe, least) then
      least = safe
    end
    -- Each process that was ever there is a consumer; those that are long gone and owe nothing are forgotten.
    for _, entry in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], of['name'])) do
      local consumer = {}
      for at = 1, #entry, 2 do
        consumer[entry[at]] = entry[at + 1]
      end
      if consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], of['name'], consumer['name'])
      end
    end
    table.insert(reply, {of['name'], owed[1] + #fresh, oldest and math.max(now - ms(oldest), 0) or -1})
  end
  if groups[1] then
    redis.call('XTRIM', KEYS[1], 'MINID', least)
  end
end
return {redis.call('XLEN', KEYS[1]), redis.call('XLEN', KEYS[2]), reply}
