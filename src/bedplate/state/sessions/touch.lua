-- Say that a session is in use. Its data and version stay, so that whoever has read it may still save.
-- KEYS: the sessions of a user. ARGV: the session, ms until it is idle, its new name or '' to leave it.
-- Returns the time and the record, nil when it is gone.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local raw = redis.call('HGET', KEYS[1], ARGV[1])
if not raw then return {now, false} end
local version, created, last, ends, rest = string.match(raw, '^(%d+) (%d+) %d+ (%d+) (%d+)\n(.*)$')
if tonumber(last) < now then return {now, false} end
local idle = math.min(now + tonumber(ARGV[2]), tonumber(ends))
raw = string.format('%s %s %.0f %.0f %s\n%s', version, created, now, idle, ends, rest)
local name = ARGV[1]
if ARGV[3] ~= '' then
  redis.call('HDEL', KEYS[1], name)
  name = ARGV[3]
end
redis.call('HSET', KEYS[1], name, raw)
if redis.call('PEXPIRETIME', KEYS[1]) < idle then redis.call('PEXPIREAT', KEYS[1], idle) end
return {now, raw}
