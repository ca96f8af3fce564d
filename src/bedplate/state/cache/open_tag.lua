#!lua flags=allow-oom
-- Gives a tag a version if it has none, the present µs, which is a number that no entry has; and keeps it for longer.
-- KEYS: the tag. ARGV: milliseconds to keep it.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
if not redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
