-- Void every session that began up to now, and tell all instances.
-- KEYS: where the time is kept. ARGV: the channel, the ms up to which they began or 0 for now.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local void = tonumber(redis.call('GET', KEYS[1]) or 0)
local wanted = tonumber(ARGV[2])
-- A second ahead: of a cluster each server has its own clock, and sessions may be younger than it says. Those that
-- begin after this are younger still.
if wanted == 0 then wanted = math.max(now + 1000, void + 1) end
if wanted > void then
  void = wanted
  redis.call('SET', KEYS[1], string.format('%.0f', void))
end
if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], string.format('* * %.0f', void)) end
return void
