-- Writes what was computed under a lease, unless the lease was taken away: by time, or by who dropped the key.
-- KEYS: the entry, its lease. ARGV: token, value, milliseconds to keep it. Returns 1, or 0 when it was not written.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
