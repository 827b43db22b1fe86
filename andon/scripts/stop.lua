#!lua flags=allow-oom
-- Purpose: the stop: put the durable mark on a job and publish the hint to its worker, or settle it if nobody has it.
-- Atomicity: checks first; the mark is set once (the first stop's words stay), the publish is last. A repeat asserts
--   the same stop again. Runs at maxmemory too: a stop frees memory and money.
-- KEYS: 1 job, 2 log, 3 live, 4 lanes, 5 outbox, 6 turn.
-- ARGV: 1 response id, 2 tenant and 3 subject of the owner ('' each: any, for operators), 4 by (JSON), 5 reason
--   (JSON), 6 log time to live (ms), 7 outbox time to live (ms), 8 event channel,
--   9 turn's time to live (ms).
-- Returns: {'unknown'} | {'already_ended', status} | {'recorded', mark's time, acked, upstream closed, settled, state,
--   owner, next of lane, session, tenant, subject, trace context}: times are Unix seconds as text, or ''. `settled` is
--   set where this script settled the job.

--@include _ending

local rid = ARGV[1]
local k = {job = KEYS[1], log = KEYS[2], live = KEYS[3], lanes = KEYS[4], outbox = KEYS[5], turn = KEYS[6]}
local ttl = {log = ARGV[6], outbox = ARGV[7], turn = ARGV[9]}
local f = read_job(k.job)
if not f.state then return {'unknown'} end
if ARGV[2] ~= '' and f.tenant ~= ARGV[2] then return {'unknown'} end
if ARGV[3] ~= '' and f.subject ~= ARGV[3] then return {'unknown'} end
if f.state == 'ended' then return {'already_ended', f.status} end

if not f.stop_at then
  f.stop_at = now()
  f.stop_json = '{"by":' .. ARGV[4] .. ',"reason":' .. ARGV[5] .. ',"requested_at":' .. f.stop_at
    .. ',"upstream_closed_at":null}'
  redis.call('HSET', k.job, 'stop_at', f.stop_at, 'stop_json', f.stop_json)
end
if f.state == 'running' then
  redis.call('PUBLISH', 'andon:stop:' .. f.owner, rid .. ' ' .. f.gen .. ' ' .. f.stop_json)
  return {'recorded', f.stop_at, f.acked_at or '', f.upstream_closed_at or '', '', f.state, f.owner, '',
    f.session, f.tenant, f.subject, f.trace or ''}
end
local next_id = end_unclaimed(k, f, rid, 'cancelled', cancelled_state(f), ttl, ARGV[8])
return {'recorded', f.stop_at, '', '', redis.call('HGET', k.job, 'settled_at'), f.state, '', next_id,
  f.session, f.tenant, f.subject, f.trace or ''}
