-- Takes units of several limits, all or none. The form in the process is meters.py; both must do the same.
--
-- KEYS: what is used of each limit.
-- ARGV: whole numbers in one text, which is packed and read faster than many: what to do (0 takes or refuses, 1 charges
--       whatever is left, a negative cost gives back, 2 only looks); the cost; of each limit how it counts and three more.
-- Returns 1 or 0, and of each limit: units left, µs until it is whole, µs until the cost would pass.
--
-- Times are the server's, in whole µs. What was written in the future, since the clock was set back, is taken as written
-- now, and written anew even when it refuses: nobody is kept out for as long as the clock went back.
local call, floor, ceil, format = redis.call, math.floor, math.ceil, string.format
local given = {}
for number in string.gmatch(ARGV[1], '%S+') do given[#given + 1] = tonumber(number) end
local how, cost = given[1], given[2]
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Each of the three returns what is used, whether it was written in the future, and µs until the cost would pass.

-- The generic cell rate algorithm, as a debt in ticks that is paid back: w ticks a unit, q ticks a µs, at most cap.
local function bucket(text, w, q, cap)
  local debt, moved = 0, false
  if text then
    local owed, at = string.match(text, '^(%d+) (%d+)$')
    if owed then
      debt, at = tonumber(owed), tonumber(at)
      moved = at > now
      if at < now then
        debt = debt - (now - at) * q
        if debt < 0 then debt = 0 end
      end
    end
  end
  local over = debt + cost * w - cap
  return debt, moved, over > 0 and ceil(over / q) or 0
end

-- Windows between the multiples of their length.
local function fixed(text, window, quota)
  local start, used, moved = now - now % window, 0, false
  if text then
    local begun, count = string.match(text, '^(%d+) (%d+)$')
    if begun then
      begun = tonumber(begun)
      moved = begun > start
      if begun >= start then used = tonumber(count) end
    end
  end
  return used, moved, used + cost > quota and start + window - now or 0
end

-- A window that slides by slices: what was used in a slice counts until a window after the slice's end. Also returns
-- the slices, oldest first, as number and count in turn.
local function sliding(text, window, quota, slice)
  local present, used, moved, slices = floor(now / slice), 0, false, {}
  for number, count in string.gmatch(text or '', '(%d+):(%d+)') do
    number, count = tonumber(number), tonumber(count)
    if number > present then number, moved = present, true end
    if (number + 1) * slice + window > now and count > 0 then
      if slices[#slices - 1] == number then
        slices[#slices] = slices[#slices] + count
      else
        slices[#slices + 1], slices[#slices + 2] = number, count
      end
      used = used + count
    end
  end
  local wait, over, place = 0, used + cost - quota, 1
  while over > 0 and slices[place] do
    wait, over = (slices[place] + 1) * slice + window - now, over - slices[place + 1]
    place = place + 2
  end
  return used, moved, wait, slices
end

-- Adds to the slices, or gives back from the newest; returns what is used then.
local function add(slices, used, units, quota, slice)
  if units > 2 * quota - used then units = 2 * quota - used end
  local present, last = floor(now / slice), #slices
  if units > 0 then
    if slices[last - 1] ~= present then slices[last + 1], slices[last + 2], last = present, 0, last + 2 end
    slices[last] = slices[last] + units
    return used + units
  end
  while units < 0 and last > 0 do
    if slices[last] > -units then
      slices[last] = slices[last] + units
      return used + units
    end
    used, units = used - slices[last], units + slices[last]
    slices[last - 1], slices[last], last = nil, nil, last - 2
  end
  return used
end

local function between(value, most)
  return value < 0 and 0 or value > most and most or value
end

local looks = {bucket, fixed, sliding}
local used, moved, wait, slices, allowed = {}, {}, {}, {}, 1
for i = 1, #KEYS do
  local at = 4 * i - 1
  used[i], moved[i], wait[i], slices[i] =
    looks[given[at]](call('GET', KEYS[i]), given[at + 1], given[at + 2], given[at + 3])
  if wait[i] > 0 then allowed = 0 end
end

local adds = cost ~= 0 and (how == 1 or how == 0 and allowed == 1)
local reply = {allowed}
for i = 1, #KEYS do
  local at = 4 * i - 1
  local kind, a, b, c = given[at], given[at + 1], given[at + 2], given[at + 3]
  local writes, spent, text, left, whole, kept = adds or moved[i], used[i], nil, nil, nil, nil
  if kind == 1 then
    if adds then spent = between(spent + cost * a, 2 * c) end
    left, whole = floor((c - spent) / a), ceil(spent / b)
    kept = whole
    if writes then text = format('%.0f %.0f', spent, now) end
  elseif kind == 2 then
    if adds then spent = between(spent + cost, 2 * b) end
    local start = now - now % a
    left, kept = b - spent, start + a - now
    whole = spent > 0 and kept or 0
    if writes then text = format('%.0f %.0f', start, spent) end
  else
    local found = slices[i]
    if adds then spent = add(found, spent, cost, b, c) end
    left, whole = b - spent, #found > 0 and (found[#found - 1] + 1) * c + a - now or 0
    kept = whole
    if writes then
      local parts = {}
      for place = 1, #found, 2 do parts[#parts + 1] = format('%.0f:%.0f', found[place], found[place + 1]) end
      text = table.concat(parts, ' ')
    end
  end
  if text then
    -- With its end in one command: there is no moment at which it would stay for ever.
    call('SET', KEYS[i], text, 'PX', format('%.0f', floor(kept / 1000) + 1))
  end
  reply[3 * i - 1], reply[3 * i], reply[3 * i + 1] = left > 0 and left or 0, whole, wait[i]
end
return reply
