-- Takes a lock from whoever has it, tells him, and lets the next one have it. Returns the former holder's token, nothing when the lock was free.

local holder = redis.call('GET', KEYS[1])
if not holder then
  return false
end
redis.call('DEL', KEYS[1])
hand_over(microseconds(), '', '')
tell(instance_of(holder), '!' .. holder)
return holder
