#!lua
-- Purpose: let a response in, if whoever it is counted for has room for one more live response and one more create.
-- Atomicity: both checks first, then both are written. A repeat with an id that has its place changes nothing (where
--   only creates are counted, it counts once more). The time of Redis decides, so all gateways count alike.
-- KEYS: 1 live, 2 creates.
-- ARGV: 1 response id, 2 most live (0: not counted), 3 microseconds a create (0: creates are not counted), 4 most creates at once,
--   5 time to live of the places (ms).
-- Returns: {'admitted'} | {'full', live} | {'too_fast', microseconds until there is one more}.

local most_live = tonumber(ARGV[2])
if most_live > 0 then
  if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {'admitted'} end
  local live = redis.call('ZCARD', KEYS[1])
  if live >= most_live then return {'full', live} end
end
local t = redis.call('TIME')
local at = t[1] * 1000000 + t[2]
local interval = tonumber(ARGV[3])
if interval > 0 then
  -- The bucket as one number: when it would be full again (GCRA).
  local full_at = math.max(at, tonumber(redis.call('GET', KEYS[2]) or '0')) + interval
  local wait = full_at - at - interval * tonumber(ARGV[4])
  if wait > 0 then return {'too_fast', string.format('%.0f', wait)} end
  redis.call('SET', KEYS[2], string.format('%.0f', full_at), 'PX', math.ceil((full_at - at) / 1000))
end
if most_live > 0 then
  redis.call('ZADD', KEYS[1], string.format('%.0f', at / 1000), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return {'admitted'}
