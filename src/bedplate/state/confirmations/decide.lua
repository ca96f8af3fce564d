-- Decides a confirmation, once. ARGV: status, who and what as members of JSON, ms that it is kept for after it would
-- have expired, channel. Returns {1, document} when this decided it, {0, document} when it was decided before, nothing
-- when there is none. The document begins with its status: nothing of it has to be understood here.

local document = redis.call('GET', KEYS[1])
if not document then
  return false
end
local head = '{"status":"pending",'
if string.sub(document, 1, #head) ~= head then
  return {0, document}
end
local time = redis.call('TIME')
local decided = string.format('{"status":"%s","decided_at":%s.%06d,%s,', ARGV[1], time[1], time[2], ARGV[2])
  .. string.sub(document, #head + 1)
redis.call('SET', KEYS[1], decided, 'PX', redis.call('PTTL', KEYS[1]) + ARGV[3])
redis.call('PUBLISH', ARGV[4], decided)
return {1, decided}
