-- Puts an entry among the dead of its stream and answers for it, in one. KEYS: stream, dead. ARGV: group, id, payload,
-- key, why, how many dead are kept. An entry that somebody has answered for is left. Returns 1 when it was buried.

if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[6], '*', 'd', ARGV[3], 'k', ARGV[4], 'group', ARGV[1], 'id', ARGV[2],
  'why', ARGV[5])
return 1
