#!lua flags=allow-oom
-- Purpose: declare a worker dead if its lease has run out, or if it says so itself.
-- Atomicity: the check of the lease and the tombstone are one step; after it every renewal of that id is refused.
--   A lease that is missing altogether has not run out: Redis lost it, or its worker only begins. It is given one
--   from now on, which a living worker renews; whoever does not is found dead when that is over.
-- KEYS: 1 lease.
-- ARGV: 1 time to live of the key (ms), 2 '1' if the worker itself asks, 3 lease (ms).
-- Returns: {'dead'} | {'alive', milliseconds left}.

local found = redis.call('HMGET', KEYS[1], 'dead', 'expires_at_ms')
if found[1] then return {'dead'} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local left = found[2] and tonumber(found[2]) - now or tonumber(ARGV[3])
if left > 0 and ARGV[2] ~= '1' then
  if not found[2] then
    redis.call('HSET', KEYS[1], 'expires_at_ms', string.format('%d', now + left))
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
  end
  return {'alive', string.format('%d', left)}
end
redis.call('HSET', KEYS[1], 'dead', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {'dead'}
