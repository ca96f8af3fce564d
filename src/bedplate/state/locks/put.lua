-- Sets a fenced value. ARGV: fence, value. Returns 0, or the greater fence that it was set with before.

local last = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if last > tonumber(ARGV[1]) then
  return last
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'value', ARGV[2])
return 0
