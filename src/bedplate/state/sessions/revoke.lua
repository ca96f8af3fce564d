-- End sessions of a user, and tell all instances.
-- KEYS: the sessions of a user. ARGV: the channel or '' to tell nobody, the user's tag, the sessions.
-- Returns the time and how many there were.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = 0
for i = 3, #ARGV do
  found = found + redis.call('HDEL', KEYS[1], ARGV[i])
  if ARGV[1] ~= '' then
    redis.call('PUBLISH', ARGV[1], string.format('%s %s %.0f', ARGV[2], ARGV[i], now))
  end
end
return {now, found}
