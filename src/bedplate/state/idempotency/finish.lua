-- Record what came of an attempt, unless another one has taken over. A key that the store has lost is made again: that
-- it was done must not be forgotten. To say it twice changes nothing.
-- KEYS: the key. ARGV: the fingerprint, whose attempt, its number, the record, ms for which it is kept.
-- Returns whether it is recorded.
local kept = redis.call('HMGET', KEYS[1], 'owner', 'record')
if kept[1] and kept[1] ~= ARGV[2] then return 0 end
if kept[2] then return 1 end
redis.call('HSET', KEYS[1], 'print', ARGV[1], 'owner', ARGV[2], 'attempt', ARGV[3], 'record', ARGV[4])
redis.call('HDEL', KEYS[1], 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
