-- What the scripts of locks share. KEYS: the lock, its fence, its queue (waiters by turn), until when each counts as
-- alive. A token is instance/number/ttl in ms.

local WEEK = '604800000'
-- A waiter that has not asked for so many ms is not alive.
local ALIVE = 3000
-- In so many ms a waiter of another instance must say that it is.
local CLAIM = 1000

-- The last fence; behind it may stand the time that its holder asked for since: fence/ms.
local function last_fence()
  local value = redis.call('GET', KEYS[2])
  return value and (tonumber(value) or tonumber(string.match(value, '^%d+')))
end

local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A fence is greater than all before it, also when the last one was lost in a failover or with an old snapshot: then
-- the time is greater than it was. The key outlives a clock that is set back.
local function next_fence(now)
  local fence = math.max((last_fence() or 0) + 1, now)
  redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', WEEK)
  return fence
end

-- Every instance listens to a channel of its own.
local function tell(instance, message)
  redis.call('PUBLISH', string.match(KEYS[1], '^(.-):{') .. ':to:' .. instance, message)
end

local function ttl_of(token)
  return string.match(token, '/(%d+)$')
end

local function instance_of(token)
  return string.match(token, '^(.*)/%d+/%d+$')
end

-- Gives the lock to the first waiter that is alive; returns its token and fence, nothing when there is none. One of
-- another instance has to claim it in time, since it may have died a moment ago.
local function hand_over(now, me, mine)
  while true do
    local first = redis.call('ZPOPMIN', KEYS[3])
    if not first[1] then
      return
    end
    local token = first[1]
    local alive = tonumber(redis.call('HGET', KEYS[4], token) or '0')
    redis.call('HDEL', KEYS[4], token)
    if alive * 1000 >= now then
      local instance, ttl = string.match(token, '^(.*)/%d+/(%d+)$')
      local fence = next_fence(now)
      if token == me or instance == mine then
        redis.call('SET', KEYS[1], token, 'PX', ttl)
      else
        redis.call('SET', KEYS[1], token, 'PX', math.min(tonumber(ttl), CLAIM))
        tell(instance, token)
      end
      return token, fence
    end
  end
end

