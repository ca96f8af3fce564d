-- Says that a consumer is still at work on entries. ARGV: group, consumer, ids…; those that others took over are left.

local held = {}
for at = 3, #ARGV do
  local owed = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)[1]
  if owed and owed[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'JUSTID')
    table.insert(held, ARGV[at])
  end
end
return held
