-- Return the time and all sessions of a user, each followed by its record.
-- KEYS: the sessions of a user.
local t = redis.call('TIME')
return {t[1] * 1000 + math.floor(t[2] / 1000), redis.call('HGETALL', KEYS[1])}
