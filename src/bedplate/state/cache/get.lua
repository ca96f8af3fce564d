-- A value and the milliseconds that it is still kept; nil when there is none.
-- KEYS: the entry.
local value = redis.call('GET', KEYS[1])
if not value then
    return false
end
return { value, redis.call('PTTL', KEYS[1]) }
