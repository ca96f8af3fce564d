-- Says that an instance is there, and counts those that said so lately, itself among them.
-- KEYS: their set. ARGV: the instance, µs for which it counts. Returns whether it is new, and how many there are.
-- A clock that was set back makes old words seem new, from the future; those count no more either.
local clock = redis.call('TIME')
local now, lasts = clock[1] * 1000000 + clock[2], tonumber(ARGV[2])
local new = redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - lasts))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + lasts), '+inf')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.floor(lasts / 1000) + 1))
return {new, redis.call('ZCARD', KEYS[1])}
