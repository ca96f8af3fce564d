-- Reads a topic's history. ARGV: the last id that is known, how many at most, how many are kept.
-- Returns {1 when events between may be gone, entries…}.

local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
local gone = 0
if entries[1] then
  if ARGV[1] == '0-0' then
    gone = redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) and 1 or 0
  elseif not redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1] then
    gone = 1
  end
end
return {gone, entries}
