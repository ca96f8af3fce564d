-- End all sessions of a user, and tell all instances.
-- KEYS: the sessions of a user.
-- ARGV: the channel or '' to tell nobody, the user's tag, the ms up to which they began or 0 for now, the session that
--       stays or '', ms for which the deed is remembered.
-- Returns the time and the sessions that there were.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local before = tonumber(ARGV[3])
local void = before
-- Sessions are made younger than the last deed, which may be ahead of the clock.
if void == 0 then void = math.max(now, tonumber(redis.call('HGET', KEYS[1], '*') or 0) + 1) end
local all, ended = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local name = all[i]
  if name ~= '*' and name ~= ARGV[4] then
    local created = tonumber(string.match(all[i + 1], '^%d+ (%d+) '))
    if created <= void or before == 0 then
      redis.call('HDEL', KEYS[1], name)
      if before == 0 then void = math.max(void, created) end
      ended[#ended + 1] = name
      if ARGV[4] ~= '' and ARGV[1] ~= '' then
        redis.call('PUBLISH', ARGV[1], string.format('%s %s %.0f', ARGV[2], name, now))
      end
    end
  end
end
if ARGV[4] == '' then
  void = math.max(void, tonumber(redis.call('HGET', KEYS[1], '*') or 0))
  redis.call('HSET', KEYS[1], '*', string.format('%.0f', void))
  local keep = now + tonumber(ARGV[5])
  if redis.call('PEXPIRETIME', KEYS[1]) < keep then redis.call('PEXPIREAT', KEYS[1], keep) end
  if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], string.format('%s * %.0f', ARGV[2], void)) end
end
return {void, ended}
