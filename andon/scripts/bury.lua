#!lua flags=allow-oom
-- Purpose: declare a worker dead if its lease has run out, or if it says so itself.
-- Atomicity: the check of the lease and the tombstone are one step; after it every renewal of that id is refused.
--   A lease that is missing altogether (Redis lost it) is buried too.
-- KEYS: 1 lease.
-- ARGV: 1 time to live of the tombstone (ms), 2 '1' if the worker itself asks.
-- Returns: {'dead'} | {'alive', milliseconds left}.

if redis.call('HGET', KEYS[1], 'dead') then return {'dead'} end
local t = redis.call('TIME')
local expires = tonumber(redis.call('HGET', KEYS[1], 'expires_at_ms') or '0')
local left = expires - (t[1] * 1000 + math.floor(t[2] / 1000))
if left > 0 and ARGV[2] ~= '1' then return {'alive', string.format('%d', left)} end
redis.call('HSET', KEYS[1], 'dead', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {'dead'}
