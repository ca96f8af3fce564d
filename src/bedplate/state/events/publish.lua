-- Keeps an event in its topic's history and tells all who listen. ARGV: payload, how many are kept, ms they are kept
-- for, channel. Returns {id, how many were told}.

local id = redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'd', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {id, redis.call('PUBLISH', ARGV[4], id .. ' ' .. ARGV[1])}
