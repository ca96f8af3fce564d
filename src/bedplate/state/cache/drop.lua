#!lua flags=allow-oom
-- Notes in the log that all keys of a pattern are gone, or all keys.
-- KEYS: the log. ARGV: milliseconds to keep it, the pattern or nothing for all, how many patterns are kept.
-- Beyond so many the oldest one is given up, and with it whatever is older than that: more is gone than need be.
local time = redis.call('TIME')
local before = redis.call('HGET', KEYS[1], 'number')
local number = math.max((tonumber(before) or 0) + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', number)
if ARGV[2] == '' or not before then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'floor', text, 'number', text)
else
    redis.call('HSET', KEYS[1], 'number', text, 'p:' .. ARGV[2], text)
    if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) + 2 then
        local fields, oldest = redis.call('HGETALL', KEYS[1]), nil
        for place = 1, #fields, 2 do
            if fields[place]:sub(1, 2) == 'p:' and (not oldest or tonumber(fields[place + 1]) < oldest[2]) then
                oldest = { fields[place], tonumber(fields[place + 1]) }
            end
        end
        redis.call('HDEL', KEYS[1], oldest[1])
        redis.call('HSET', KEYS[1], 'floor', string.format('%.0f', oldest[2]))
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return number
