#!lua flags=allow-oom
-- Removes a value; whoever computes it at this moment does so in vain.
-- KEYS: the entry, its lease. Returns how many values there were.
redis.call('DEL', KEYS[2])
return redis.call('UNLINK', KEYS[1])
