-- Begin a session. Those that are over make room first, then those used longest ago.
-- KEYS: the sessions of a user.
-- ARGV: the session, the one it takes the place of or '', ms until it is idle, ms until it ends, most sessions,
--       ms before which all sessions of everybody are void, what is said about it, its data.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local most = tonumber(ARGV[5])
if ARGV[2] ~= '' then redis.call('HDEL', KEYS[1], ARGV[2]) end
-- It must be younger than the last "end all", even within one millisecond.
local void = math.max(tonumber(ARGV[6]), tonumber(redis.call('HGET', KEYS[1], '*') or 0))
local created = math.max(now, void + 1)
local ends = created + tonumber(ARGV[4])
local idle = math.min(now + tonumber(ARGV[3]), ends)

if redis.call('HLEN', KEYS[1]) >= most then
  local all, left = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #all, 2 do
    local seen, last = string.match(all[i + 1], '^%d+ %d+ (%d+) (%d+) ')
    if all[i] ~= '*' then
      if tonumber(last) < now then
        redis.call('HDEL', KEYS[1], all[i])
      else
        left[#left + 1] = {all[i], tonumber(seen)}
      end
    end
  end
  table.sort(left, function(a, b) return a[2] < b[2] end)
  for i = 1, #left - most + 1 do redis.call('HDEL', KEYS[1], left[i][1]) end
end

local raw = string.format('1 %.0f %.0f %.0f %.0f\n%s\n%s', created, now, idle, ends, ARGV[7], ARGV[8])
redis.call('HSET', KEYS[1], ARGV[1], raw)
if redis.call('PEXPIRETIME', KEYS[1]) < idle then redis.call('PEXPIREAT', KEYS[1], idle) end
return {now, raw}
