#!lua flags=allow-oom
-- Moves a tag on to its next version. One that is not there needs none: when it comes back, it is another one.
-- KEYS: the tag. ARGV: milliseconds to keep it. Returns the version, 0 for none.
local version = redis.call('GET', KEYS[1])
if not version then
    return 0
end
local time = redis.call('TIME')
local next_one = math.max(tonumber(version) + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[1], string.format('%.0f', next_one), 'PX', ARGV[1])
return next_one
