-- Prolongs a lock for its holder. KEYS: the lock, its fence. ARGV: token, ttl in ms. Returns 1, or 0 when it is not his.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[2], 604800000)
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
