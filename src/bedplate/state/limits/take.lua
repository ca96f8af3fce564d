-- Takes units of several limits, all or none. The form in the process is meters.py; both must do the same.
--
-- KEYS: what is used of each limit.
-- ARGV: what to do: 0 takes or refuses, 1 charges whatever is left, a negative cost gives back, 2 only looks;
--       the cost; then of each limit how it counts and three numbers.
-- Returns 1 or 0, and of each limit: units left, µs until it is whole, µs until the cost would pass.
--
-- Times are the server's, in whole µs. What was written in the future, since the clock was set back, is taken as written
-- now, and written anew even when it refuses: nobody is kept out for as long as the clock went back.
local how, cost = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local floor, ceil, max, min, format = math.floor, math.ceil, math.max, math.min, string.format
local pairs_of = string.gmatch

-- Each meter has: wait, left, whole (all in its first state), moved, and put(change), which returns text and µs to keep.

-- The generic cell rate algorithm, as a debt in ticks that is paid back: w ticks a unit, q ticks a µs, at most cap.
local function bucket(text, w, q, cap)
  local debt, at = 0, now
  if text then
    local d, t = string.match(text, '^(%d+) (%d+)$')
    if d then debt, at = tonumber(d), tonumber(t) end
  end
  local moved = at > now
  if at < now then debt = max(0, debt - (now - at) * q) end
  local function whole(owed) return ceil(owed / q) end
  local over = debt + cost * w - cap
  return {
    moved = moved,
    wait = over > 0 and ceil(over / q) or 0,
    left = function() return max(0, floor((cap - debt) / w)) end,
    whole = function() return whole(debt) end,
    add = function(units) debt = min(max(0, debt + units * w), 2 * cap) end,
    text = function() return format('%.0f %.0f', debt, now), whole(debt) end,
  }
end

-- Windows between the multiples of their length.
local function fixed(text, window, quota)
  local start, used = now - now % window, 0
  local moved = false
  if text then
    local s, n = string.match(text, '^(%d+) (%d+)$')
    if s then
      s = tonumber(s)
      moved = s > start
      if s >= start then used = tonumber(n) end
    end
  end
  local ends = start + window - now
  return {
    moved = moved,
    wait = used + cost > quota and ends or 0,
    left = function() return max(0, quota - used) end,
    whole = function() return used > 0 and ends or 0 end,
    add = function(units) used = min(max(0, used + units), 2 * quota) end,
    text = function() return format('%.0f %.0f', start, used), ends end,
  }
end

-- A window that slides by slices: what was used in a slice counts until a window after the slice's end.
local function sliding(text, window, quota, slice)
  local present = floor(now / slice)
  local slices, counts, total, moved = {}, {}, 0, false
  for s, n in pairs_of(text or '', '(%d+):(%d+)') do
    s, n = tonumber(s), tonumber(n)
    if s > present then s, moved = present, true end
    if (s + 1) * slice + window > now and n > 0 then
      if slices[#slices] == s then
        counts[#counts] = counts[#counts] + n
      else
        slices[#slices + 1], counts[#counts + 1] = s, n
      end
      total = total + n
    end
  end
  local function free(s) return (s + 1) * slice + window - now end
  local wait, over = 0, total + cost - quota
  for i = 1, #slices do
    if over <= 0 then break end
    over, wait = over - counts[i], free(slices[i])
  end
  return {
    moved = moved,
    wait = wait,
    left = function() return max(0, quota - total) end,
    whole = function() return #slices > 0 and free(slices[#slices]) or 0 end,
    add = function(units)
      units = min(units, 2 * quota - total)
      if units > 0 then
        if slices[#slices] ~= present then slices[#slices + 1], counts[#counts + 1] = present, 0 end
        counts[#counts] = counts[#counts] + units
        total = total + units
      end
      while units < 0 and #slices > 0 do
        local back = min(-units, counts[#counts])
        counts[#counts], total, units = counts[#counts] - back, total - back, units + back
        if counts[#counts] > 0 then break end
        slices[#slices], counts[#counts] = nil, nil
      end
    end,
    text = function()
      local parts = {}
      for i = 1, #slices do parts[i] = format('%.0f:%.0f', slices[i], counts[i]) end
      return table.concat(parts, ' '), #slices > 0 and free(slices[#slices]) or 0
    end,
  }
end

local kinds = {['1'] = bucket, ['2'] = fixed, ['3'] = sliding}
local meters, allowed = {}, 1
for i = 1, #KEYS do
  local at = 4 * i - 1
  local meter = kinds[ARGV[at]](
    redis.call('GET', KEYS[i]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
  if meter.wait > 0 then allowed = 0 end
  meters[i] = meter
end
local adds = cost ~= 0 and (how == '1' or (how == '0' and allowed == 1))
local reply = {allowed}
for i = 1, #KEYS do
  local meter = meters[i]
  if adds then meter.add(cost) end
  if adds or meter.moved then
    local text, kept = meter.text()
    -- With its end in one command: there is no moment at which it would stay for ever.
    redis.call('SET', KEYS[i], text, 'PX', format('%.0f', floor(kept / 1000) + 1))
  end
  reply[3 * i - 1], reply[3 * i], reply[3 * i + 1] = meter.left(), meter.whole(), meter.wait
end
return reply
