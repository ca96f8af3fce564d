-- The right to compute a value: one caller of all instances gets it, for a short time.
-- KEYS: the entry, its lease. ARGV: token, milliseconds of the lease, the head of the entry that was found wanting.
-- Returns {0, value, milliseconds left} when somebody has written another value meanwhile, {1} to the one who may
-- compute, {2, milliseconds left of the lease} to all others.
local head = redis.call('GETRANGE', KEYS[1], 0, 19)
if head ~= '' and head ~= ARGV[3] then
    return { 0, redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) }
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return { 1 }
end
return { 2, redis.call('PTTL', KEYS[2]) }
