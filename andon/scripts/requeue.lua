#!lua
-- Purpose: take a running job from its worker and let another claim it: the worker is dead, or drains.
-- Atomicity: one state change, allowed only while nothing but the first two events is in the log. A marked job is
--   refused and settled here. A repeat answers `queued`, so the caller may retry after a lost reply.
-- KEYS: 1 job, 2 log, 3 live, 4 lanes, 5 outbox, 6 turn.
-- ARGV: 1 response id, 2 worker id, 3 generation, 4 most claims, 5 usage so far (JSON; '' if no request was made),
--   6 live time to live (ms), 7 log time to live (ms), 8 outbox time to live (ms), 9 event channel,
--   10 turn's time to live (ms).
-- Returns: {'queued'} | {'stopped', next of lane} | {'has_output', length of the log} | {'spent'} | {'ended'}
--   | {'fenced'} | {'gone'}.

--@include _ending

local rid = ARGV[1]
local k = {job = KEYS[1], log = KEYS[2], live = KEYS[3], lanes = KEYS[4], outbox = KEYS[5], turn = KEYS[6]}
local ttl = {log = ARGV[7], outbox = ARGV[8], turn = ARGV[10]}
local f = read_job(k.job)
if not f.state then return {'gone'} end
if f.state == 'ended' then return {'ended'} end
if f.state == 'queued' and f.gen == ARGV[3] then return {'queued'} end
if f.state ~= 'running' or f.owner ~= ARGV[2] or f.gen ~= ARGV[3] then return {'fenced'} end
local length = redis.call('LLEN', k.log)
if length > 2 then return {'has_output', length} end

if ARGV[5] ~= '' then
  f.unclaimed_usage = ARGV[5]
  redis.call('HSET', k.job, 'unclaimed_usage', ARGV[5])
end
if f.stop_at then
  return {'stopped', end_unclaimed(k, f, rid, 'cancelled', cancelled_state(f), ttl, ARGV[9])}
end
if tonumber(f.gen) >= tonumber(ARGV[4]) then return {'spent'} end
redis.call('HSET', k.job, 'state', 'queued', 'owner', '', 'queued_at', now())
redis.call('PEXPIRE', k.job, ARGV[6])
redis.call('PEXPIRE', k.log, ARGV[6])
return {'queued'}
