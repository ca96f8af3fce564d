-- Replace the data of a session, if nobody else has since it was read; never bring back one that is gone.
-- KEYS: the sessions of a user. ARGV: the session, the version that was read, ms until it is idle, the data.
-- Returns the time, the record as somebody else has changed it or nil, and whether it was saved.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local raw = redis.call('HGET', KEYS[1], ARGV[1])
if not raw then return {now, false, 0} end
local version, created, last, ends, about = string.match(raw, '^(%d+) (%d+) %d+ (%d+) (%d+)\n([^\n]*)\n')
if tonumber(last) < now then return {now, false, 0} end
if version ~= ARGV[2] then return {now, raw, 0} end
local idle = math.min(now + tonumber(ARGV[3]), tonumber(ends))
raw = string.format('%.0f %s %.0f %.0f %s\n%s\n%s', version + 1, created, now, idle, ends, about, ARGV[4])
-- Who tracks the key is told of a change once after each reading; so all reading is before all changes but the last,
-- from which on others' changes are told.
local over = redis.call('PEXPIRETIME', KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], raw)
if over < idle then redis.call('PEXPIREAT', KEYS[1], idle) end
redis.call('HLEN', KEYS[1])
return {now, false, 1}
