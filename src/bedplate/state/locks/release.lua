-- Gives back what a token has: the lock, or its turn. ARGV: token. Returns {1} or {1, next token, its fence}
-- when it had the lock, {0} when not.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('HDEL', KEYS[4], ARGV[1])
  return {0}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  local token, fence = hand_over(microseconds(), '', instance_of(ARGV[1]))
  if token then
    return {1, token, fence}
  end
end
redis.call('DEL', KEYS[1])
return {1}
