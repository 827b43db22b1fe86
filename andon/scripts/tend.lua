#!lua flags=allow-oom
-- Purpose: take or keep the lease on a broadcast, and write how far it got.
-- Atomicity: one check, then the writes. Only one runner at a time holds the lease, on Redis' own clock; a runner that
--   was away for longer finds it held by another, and writes nothing. Runs at maxmemory too, as the stops do.
-- KEYS: 1 record, 2 running ones, 3 targets.
-- ARGV: 1 broadcast id, 2 runner, 3 lease (ms), 4 progress (JSON; '' leaves it), 5 final state ('' while it runs),
--   6 targets' time to live (ms), 7... response ids that are about to be stopped.
-- Returns: {'ours'} | {'held', runner} | {'ended'} | {'gone'}.

local f = redis.call('HMGET', KEYS[1], 'state', 'runner', 'runner_until_ms')
if f[1] ~= 'running' then
  redis.call('SREM', KEYS[2], ARGV[1])
  return {f[1] and 'ended' or 'gone'}
end
local t = redis.call('TIME')
local now_ms = t[1] * 1000 + math.floor(t[2] / 1000)
if f[2] and f[2] ~= ARGV[2] and tonumber(f[3]) > now_ms then return {'held', f[2]} end

redis.call('HSET', KEYS[1], 'runner', ARGV[2], 'runner_until_ms', string.format('%d', now_ms + ARGV[3]))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'progress', ARGV[4]) end
if #ARGV > 6 then
  redis.call('SADD', KEYS[3], unpack(ARGV, 7))
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'state', ARGV[5], 'ended_at', string.format('%d.%06d', t[1], t[2]))
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('DEL', KEYS[3])
end
return {'ours'}
