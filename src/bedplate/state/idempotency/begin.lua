-- Begin what a key stands for, if nobody has.
-- KEYS: the key. ARGV: the fingerprint, who begins, ms for which the mark holds unless renewed, ms for which the key is
--       kept, whether a mark that has lapsed may be taken over.
-- Returns 0, the number of the attempt and until when the one before held: go; 1 and ms: under way; 2, the number and
-- what was recorded: done; 3: another fingerprint.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'print', 'attempt', 'until', 'record')
if kept[1] then
  if kept[1] ~= ARGV[1] then return {3, 0, ''} end
  if kept[4] then return {2, tonumber(kept[2]), kept[4]} end
  local left = tonumber(kept[3]) - now
  if left >= 0 or (kept[3] ~= '0' and ARGV[5] == '0') then return {1, math.max(left, 0), ''} end
end
local attempt = tonumber(kept[2] or 0) + 1
redis.call('HSET', KEYS[1], 'print', ARGV[1], 'owner', ARGV[2], 'attempt', attempt,
  'until', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {0, attempt, kept[3] or ''}
