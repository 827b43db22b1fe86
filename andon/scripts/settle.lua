#!lua flags=allow-oom
-- Purpose: write the one ending of a running job: its last frames, its usage, its settlement record.
-- Atomicity: all or nothing. The mark decides a race: with a mark only a `cancelled` ending is taken. A repeat by the
--   same owner answers `already`. A rescuer settles in the name of a dead worker: the length of the log, checked
--   here, proves that it saw all that the dead one wrote, and the ending fences that one out.
-- KEYS: 1 job, 2 log, 3 live, 4 lanes, 5 outbox, 6 turn.
-- ARGV: 1 response id, 2 worker id, 3 generation, 4 first sequence number, 5 status, 6 acked at ('' if no stop),
--   7 upstream closed at ('' if never opened), 8 settlement (JSON members, each with its leading comma),
--   9 log time to live (ms), 10 outbox time to live (ms), 11 event channel, 12 turn's time to live (ms),
--   13 output items (JSON), 14... frames.
-- Returns: {'settled', next of lane} | {'already', status} | {'stopped', length of the log, mark (JSON)}
--   | {'gap', length} | {'fenced'} | {'gone'}.

--@include _ending

local rid = ARGV[1]
local k = {job = KEYS[1], log = KEYS[2], live = KEYS[3], lanes = KEYS[4], outbox = KEYS[5], turn = KEYS[6]}
local f = read_job(k.job)
if not f.state then return {'gone'} end
if f.owner ~= ARGV[2] or f.gen ~= ARGV[3] then return {'fenced'} end
if f.state == 'ended' then return {'already', f.status} end
if f.state ~= 'running' then return {'fenced'} end
local length = redis.call('LLEN', k.log)
if f.stop_at and ARGV[5] ~= 'cancelled' then return {'stopped', length, f.stop_json} end
if length ~= tonumber(ARGV[4]) then return {'gap', length} end

if ARGV[6] ~= '' then redis.call('HSET', k.job, 'acked_at', ARGV[6]) end
if ARGV[7] ~= '' then redis.call('HSET', k.job, 'upstream_closed_at', ARGV[7]) end
local frames = {}
for i = 14, #ARGV do frames[#frames + 1] = ARGV[i] end
local ttl = {log = ARGV[9], outbox = ARGV[10], turn = ARGV[12]}
return {'settled', end_job(k, f, rid, length, frames, ARGV[5], ARGV[8], ARGV[13], ttl, ARGV[11])}
