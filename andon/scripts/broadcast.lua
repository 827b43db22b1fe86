#!lua flags=allow-oom
-- Purpose: write the record of a broadcast stop, before anything is stopped.
-- Atomicity: checks first; record, index and the set of running ones are written in one step, on Redis' own clock. A
--   repeat with the same id changes nothing. Runs at maxmemory too: what it stops frees memory and money.
-- KEYS: 1 record, 2 index, 3 running ones.
-- ARGV: 1 broadcast id, 2 digest of what is asked, 3 scope (JSON), 4 asker (JSON), 5 reason (JSON), 6 the one tenant
--   that it is bound to ('' for none), 7 time to live (ms).
-- Returns: {'made'} | {'known'} | {'conflict'}: another scope came with this id before.

local digest = redis.call('HGET', KEYS[1], 'digest')
if digest then return {digest == ARGV[2] and 'known' or 'conflict'} end

local t = redis.call('TIME')
local at = string.format('%d.%06d', t[1], t[2])
redis.call('HSET', KEYS[1], 'digest', ARGV[2], 'state', 'running', 'asked_at', at, 'scope', ARGV[3], 'asker', ARGV[4],
  'reason', ARGV[5], 'tenant', ARGV[6])
redis.call('ZADD', KEYS[2], at, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', t[1] - ARGV[7] / 1000)
redis.call('SADD', KEYS[3], ARGV[1])
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[7]) end
return {'made'}
