#!lua flags=allow-oom
-- Purpose: the beat's look at a silent job: read its mark, renew its keys.
-- Atomicity: a read, and renewals of keys that exist. Runs at maxmemory too: a stop must be found then as well.
-- KEYS: 1 job, 2 log.
-- ARGV: 1 worker id, 2 generation, 3 live time to live (ms).
-- Returns: {'ok'} | {'stopped', mark (JSON)} | {'fenced'} | {'gone'}.

local f = redis.call('HMGET', KEYS[1], 'state', 'owner', 'gen', 'stop_json')
if not f[1] then return {'gone'} end
if f[1] ~= 'running' or f[2] ~= ARGV[1] or f[3] ~= ARGV[2] then return {'fenced'} end
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
if f[4] then return {'stopped', f[4]} end
return {'ok'}
