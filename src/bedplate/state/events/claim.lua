-- Gives entries to a consumer that others took and have been silent about. ARGV: group, consumer, ms of silence, how many
-- at most. Returns {id, fields, how often it was given out}…

local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0-0', 'COUNT', ARGV[4])[2]
local reply = {}
for _, entry in ipairs(found) do
  if entry[2] then
    local owed = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)[1]
    table.insert(reply, {entry[1], entry[2], owed[4]})
  end
end
return reply
