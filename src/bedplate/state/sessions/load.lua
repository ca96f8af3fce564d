-- Return the time and one session.
-- KEYS: the sessions of a user. ARGV: the session.
local t = redis.call('TIME')
return {t[1] * 1000 + math.floor(t[2] / 1000), redis.call('HGET', KEYS[1], ARGV[1])}
