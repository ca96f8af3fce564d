-- Gives entries to a consumer that others took and have been silent about. ARGV: group, consumer, ms of silence, how many
-- at most. Returns {id, fields, how often it was given out}…

local reply = {}
local at = '0-0'
repeat
  -- One call looks at ten times as many as it may give: those who are at work would hide what the dead have left.
  local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], at, 'COUNT', ARGV[4] - #reply)
  at = found[1]
  for _, entry in ipairs(found[2]) do
    if entry[2] then
      local owed = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)[1]
      table.insert(reply, {entry[1], entry[2], owed[4]})
    end
  end
until at == '0-0' or #reply >= tonumber(ARGV[4])
return reply
