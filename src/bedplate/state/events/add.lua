-- Adds an event to a stream, once. KEYS: stream, what was added lately under this key. ARGV: payload, key, how many the
-- stream may hold, ms for which a key is remembered, channel. Returns its id, or nothing when the stream is full.

local there = redis.call('GET', KEYS[2])
if there then
  return there
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return false
end
local id = redis.call('XADD', KEYS[1], '*', 'd', ARGV[1], 'k', ARGV[2])
redis.call('SET', KEYS[2], id, 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[5], '')
return id
