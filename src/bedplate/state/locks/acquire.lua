-- Takes a lock or, where WAITS, the next turn. ARGV: token. Returns {1, fence}, or {0, ms until the lock ends by itself}.
-- Asking again with the same token is harmless.

local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ttl_of(holder))
  return {1, last_fence() or next_fence(microseconds())}
end
if holder and not WAITS then
  return {0, redis.call('PTTL', KEYS[1])}
end
local now = microseconds()
if not holder then
  local first, fence
  if redis.call('EXISTS', KEYS[3]) == 1 then
    first, fence = hand_over(now, ARGV[1], '')
  end
  if not first then
    fence = next_fence(now)
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl_of(ARGV[1]))
    first = ARGV[1]
  end
  if first == ARGV[1] then
    redis.call('ZREM', KEYS[3], ARGV[1])
    return {1, fence}
  end
end
if WAITS then
  local last = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  local turn = math.max(tonumber(last[2] or '0') + 1, now)
  redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', turn), ARGV[1])
  redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f', math.floor(now / 1000) + ALIVE))
  redis.call('PEXPIRE', KEYS[3], 10 * ALIVE)
  redis.call('PEXPIRE', KEYS[4], 10 * ALIVE)
end
-- Nobody has a lock for longer than he asked for, also if the clock was set back since.
local left = redis.call('PTTL', KEYS[1])
local most = math.max(tonumber(ttl_of(redis.call('GET', KEYS[1]) or '') or left),
  tonumber(ttl_of(redis.call('GET', KEYS[2]) or '') or 0))
if left > most then
  redis.call('PEXPIRE', KEYS[1], most)
  left = most
end
return {0, left}
