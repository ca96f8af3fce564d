#!lua flags=allow-oom
-- Keeps a lease for longer. KEYS: the lease. ARGV: token, milliseconds. Returns 0 when it is no longer ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
