-- Gives entries that nobody in the group has seen to a consumer. ARGV: group, consumer, how many at most.

local found = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')
return found and found[1] and found[1][2] or {}
