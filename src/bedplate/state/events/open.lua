-- Makes a consumer group that begins at an id, unless there is one. ARGV: group, id.

local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], ARGV[2], 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then
  return made
end
return made.err and 0 or 1
