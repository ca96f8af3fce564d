-- Takes a lock from whoever has it, tells him, and lets the next one have it. ARGV: ms to claim in, channel.
-- Returns the former holder's token, nothing when the lock was free.

local holder = redis.call('GET', KEYS[1])
if not holder then
  return false
end
redis.call('DEL', KEYS[1])
hand_over(microseconds(), '', '', ARGV[1], ARGV[2])
local instance = string.match(holder, '^(.*)/%d+/%d+$')
if instance then
  redis.call('PUBLISH', ARGV[2] .. instance, '!' .. holder)
end
return holder
