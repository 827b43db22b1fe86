#!lua flags=allow-oom
-- Purpose: give back the place, and the create, of a response that was let in and then was not accepted.
-- Atomicity: the create is given back only together with the place, so a repeat gives nothing back twice.
-- KEYS: 1 live, 2 creates.
-- ARGV: 1 response id ('' where live responses are not counted), 2 microseconds a create (0: creates are not counted).
-- Returns: {'given_back'} | {'no_place'}.

if ARGV[1] ~= '' and redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return {'no_place'} end
local full_at = redis.call('GET', KEYS[2])
if full_at then
  local t = redis.call('TIME')
  local at = t[1] * 1000000 + t[2]
  full_at = tonumber(full_at) - tonumber(ARGV[2])
  if full_at <= at then
    redis.call('DEL', KEYS[2])
  else
    redis.call('SET', KEYS[2], string.format('%.0f', full_at), 'PX', math.ceil((full_at - at) / 1000))
  end
end
return {'given_back'}
