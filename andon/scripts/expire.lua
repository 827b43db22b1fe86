#!lua
-- Purpose: end a job that no worker took in time, where no worker is there to refuse its claim.
-- Atomicity: one check, one ending. A marked job is settled as cancelled, as everywhere.
-- KEYS: 1 job, 2 log, 3 live, 4 lanes, 5 outbox, 6 turn.
-- ARGV: 1 response id, 2 log time to live (ms), 3 outbox time to live (ms), 4 queue time to live (s), 5 the error of a
--   queue time-out (JSON), 6 event channel, 7 turn's time to live (ms), 8 the error of a deadline (JSON).
-- Returns: {'expired', next of lane} | {'stopped', next of lane} | {'not_queued'} | {'in_time'} | {'gone'}.

--@include _ending

local rid = ARGV[1]
local k = {job = KEYS[1], log = KEYS[2], live = KEYS[3], lanes = KEYS[4], outbox = KEYS[5], turn = KEYS[6]}
local ttl = {log = ARGV[2], outbox = ARGV[3], turn = ARGV[7]}
local f = read_job(k.job)
if not f.state then return {'gone'} end
local late = overdue(f, ARGV[4], ARGV[5], ARGV[8])
if f.state ~= 'queued' and not (f.state == 'waiting' and late) then return {'not_queued'} end
if f.stop_at then
  return {'stopped', end_unclaimed(k, f, rid, 'cancelled', cancelled_state(f), ttl, ARGV[6])}
end
if not late then return {'in_time'} end
return {'expired', end_unclaimed(k, f, rid, 'failed', failed_state(f, late), ttl, ARGV[6])}
