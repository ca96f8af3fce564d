-- Writes a confirmation unless there is one. ARGV: ttl in ms, the rest of the document.
-- Returns {1, document, ms since 1970 when it expires}, or {0, the document that is there}.

local there = redis.call('GET', KEYS[1])
if there then
  return {0, there}
end
local time = redis.call('TIME')
local seconds, micros = tonumber(time[1]), tonumber(time[2])
local ends = micros + ARGV[1] * 1000
local document = string.format('{"status":"pending","created":%.0f.%06d,"expires":%.0f.%06d,', seconds, micros,
  seconds + math.floor(ends / 1000000), ends % 1000000) .. ARGV[2]
redis.call('SET', KEYS[1], document, 'PX', ARGV[1])
return {1, document, seconds * 1000 + math.floor(ends / 1000)}
