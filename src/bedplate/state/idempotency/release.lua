-- Let the next attempt begin at once: this one has failed, or was never heard of. Its number stays.
-- KEYS: the key. ARGV: whose attempt. Returns whether it was under way.
local kept = redis.call('HMGET', KEYS[1], 'owner', 'record')
if kept[1] ~= ARGV[1] or kept[2] then return 0 end
redis.call('HSET', KEYS[1], 'until', '0')
return 1
