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

-- The job that nobody has is ended here. All that takes is within this function, so that the stop of a running one,
-- for which a model is talking on, does not make it anew.
local function end_it()
--@include _ending
  local k = {job = KEYS[1], log = KEYS[2], live = KEYS[3], lanes = KEYS[4], outbox = KEYS[5], turn = KEYS[6]}
  local f = read_job(k.job)
  local ttl = {log = ARGV[6], outbox = ARGV[7], turn = ARGV[9]}
  local next_id = end_unclaimed(k, f, ARGV[1], 'cancelled', cancelled_state(f), ttl, ARGV[8])
  return {'recorded', f.stop_at, '', '', redis.call('HGET', k.job, 'settled_at'), f.state, '', next_id,
    f.session, f.tenant, f.subject, f.trace or ''}
end

local job = KEYS[1]
-- Not all of it: the request alone may be large.
local state, tenant, subject, owner, gen, stop_at, stop_json, acked_at, closed_at, session, trace, status =
  unpack(redis.call('HMGET', job, 'state', 'tenant', 'subject', 'owner', 'gen', 'stop_at', 'stop_json', 'acked_at',
    'upstream_closed_at', 'session', 'trace', 'status'))
if not state then return {'unknown'} end
if ARGV[2] ~= '' and tenant ~= ARGV[2] then return {'unknown'} end
if ARGV[3] ~= '' and subject ~= ARGV[3] then return {'unknown'} end
if state == 'ended' then return {'already_ended', status} end

if not stop_at then
  local t = redis.call('TIME')
  stop_at = string.format('%d.%06d', t[1], t[2])
  stop_json = '{"by":' .. ARGV[4] .. ',"reason":' .. ARGV[5] .. ',"requested_at":' .. stop_at
    .. ',"upstream_closed_at":null}'
  redis.call('HSET', job, 'stop_at', stop_at, 'stop_json', stop_json)
end
if state ~= 'running' then return end_it() end
redis.call('PUBLISH', 'andon:stop:' .. owner, ARGV[1] .. ' ' .. gen .. ' ' .. stop_json)
return {'recorded', stop_at, acked_at or '', closed_at or '', '', state, owner, '', session, tenant, subject,
  trace or ''}
