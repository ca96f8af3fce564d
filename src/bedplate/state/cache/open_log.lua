#!lua flags=allow-oom
-- Begins the log if there is none, at the present µs: whatever is older is gone; and keeps it for longer.
-- KEYS: the log. ARGV: milliseconds to keep it.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
if redis.call('HSETNX', KEYS[1], 'floor', now) == 1 then
    redis.call('HSET', KEYS[1], 'number', now)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
