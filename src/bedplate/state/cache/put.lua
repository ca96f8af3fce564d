-- Writes a value that somebody knows; whoever computes it at this moment does so in vain.
-- KEYS: the entry, its lease. ARGV: value, milliseconds to keep it.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
