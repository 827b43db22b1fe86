#!lua flags=allow-oom
-- Purpose: renew a worker's lease, on Redis' own clock.
-- Atomicity: one check, one write. A tombstone is never overwritten: that id is dead for good.
-- KEYS: 1 lease, 2 the worker's jobs.
-- ARGV: 1 lease (ms), 2 time to live of lease and jobs keys (ms), 3 what the worker says of itself (JSON).
-- Returns: {'ok', expires at (ms)} | {'dead'}.

if redis.call('HGET', KEYS[1], 'dead') then return {'dead'} end
local t = redis.call('TIME')
local expires = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
redis.call('HSET', KEYS[1], 'expires_at_ms', string.format('%d', expires), 'about', ARGV[3])
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
return {'ok', string.format('%d', expires)}
