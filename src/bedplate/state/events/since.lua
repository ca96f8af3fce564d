-- Reads a topic's history. ARGV: the last id that is known, how many at most, how many are kept.
-- Returns {0, or when the last is gone and others may be with it: 1, or 2 when nothing is there after it; entries…}.

local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
local gone = 0
if ARGV[1] == '0-0' then
  gone = entries[1] and redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) and 1 or 0
elseif not redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1] then
  gone = entries[1] and 1 or 2
end
return {gone, entries}
