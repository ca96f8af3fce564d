-- Hold a mark for longer. KEYS: the key. ARGV: whose it is, ms. Returns whether it still is.
local kept = redis.call('HMGET', KEYS[1], 'owner', 'record')
if kept[1] ~= ARGV[1] or kept[2] then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]))
return 1
