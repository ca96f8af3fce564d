-- Claims what is due to be told. ARGV: ms for which it is claimed, how many at most.
-- Returns {ms until the next is due or -1, how many there are in all, members…}.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], now + ARGV[1], member)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local reply = {first[2] and math.max(0, first[2] - now) or -1, redis.call('ZCARD', KEYS[1])}
for _, member in ipairs(due) do
  table.insert(reply, member)
end
return reply
