#!lua flags=allow-oom
-- Purpose: say how far a stop got before its settlement: heard, upstream closed.
-- Atomicity: one write, fenced by owner and generation; it adds times and never changes one.
-- KEYS: 1 job.
-- ARGV: 1 worker id, 2 generation, 3 acked at, 4 upstream closed at ('' if not yet).
-- Returns: {'ok'} | {'fenced'} | {'gone'}.

local f = redis.call('HMGET', KEYS[1], 'state', 'owner', 'gen')
if not f[1] then return {'gone'} end
if f[1] ~= 'running' or f[2] ~= ARGV[1] or f[3] ~= ARGV[2] then return {'fenced'} end
redis.call('HSETNX', KEYS[1], 'acked_at', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSETNX', KEYS[1], 'upstream_closed_at', ARGV[4]) end
return {'ok'}
