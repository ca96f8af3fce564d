-- Adds the dead to their stream again, the oldest first. KEYS: stream, dead. ARGV: how many at most, channel.

local dead = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[1])
for _, entry in ipairs(dead) do
  redis.call('XADD', KEYS[1], '*', unpack(entry[2], 1, 4))
  redis.call('XDEL', KEYS[2], entry[1])
end
if dead[1] then
  redis.call('PUBLISH', ARGV[2], '')
end
return #dead
