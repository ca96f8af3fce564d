#!lua flags=allow-oom
-- Gives a lease back without a value. KEYS: the lease. ARGV: token.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
