-- Gives a lock another time for its holder, from now on. KEYS: the lock, its fence. ARGV: token, ttl in ms. Returns 1, or 0
-- when it is not his. The time stands behind the fence, so that nobody takes it for one that a clock has made longer.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local fence = string.match(redis.call('GET', KEYS[2]) or '0', '^%d+')
redis.call('SET', KEYS[2], fence .. '/' .. ARGV[2], 'PX', 604800000)
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
