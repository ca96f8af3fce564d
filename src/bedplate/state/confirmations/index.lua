-- Adds a confirmation to those of its user. ARGV: id, ttl in ms. The set lives as long as the last of them.

redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
