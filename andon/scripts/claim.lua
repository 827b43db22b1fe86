#!lua
-- Purpose: make one worker the owner of a queued job, under a new generation.
-- Atomicity: one state change; `response.in_progress` is logged by the first claim only and published last.
--   A repeat by the same owner answers the same, so the caller may retry after a lost reply.
--   A waiting job whose turn it is gets its turn here: its entry is written before its promotion, and where the queue
--   is on another server the worker that read the entry may come first. It would not come again.
--   A marked job is refused and settled here; so is one that waited longer than the queue's time to live, or whose
--   deadline is over.
-- KEYS: 1 job, 2 log, 3 live, 4 lanes, 5 outbox, 6 turn.
-- ARGV: 1 response id, 2 worker id, 3 live time to live (ms), 4 log time to live (ms), 5 outbox time to live (ms),
--   6 queue time to live (s), 7 the error of a queue time-out (JSON), 8 event channel, 9 turn's time to live (ms),
--   10 the error of a deadline (JSON).
-- Returns: {'claimed', generation, length of the log, request, envelope, base, record, claims before this one,
--   ids of the turns before (JSON), abandoned after (s), seconds until the deadline ('': none), session, tenant,
--   subject, trace context ('': none)}
--   | {'gone'} | {'waiting'} | {'taken', owner} | {'ended'} | {'stopped', next of lane} | {'expired', next of lane}.

local rid, worker = ARGV[1], ARGV[2]

-- Whatever is no job that is queued, in time and not stopped. All that takes is within this function, so that the usual
-- claim does not make it anew.
local function claim_any()
--@include _ending
--@include _turn
  local k = {job = KEYS[1], log = KEYS[2], live = KEYS[3], lanes = KEYS[4], outbox = KEYS[5], turn = KEYS[6]}
  local ttl = {log = ARGV[4], outbox = ARGV[5], turn = ARGV[9]}
  local f = read_job(k.job)
  if not f.state then return {'gone'} end
  if f.state == 'ended' then return {'ended'} end
  if f.state == 'waiting' and not is_first_in_lane(k.lanes, f, rid) then return {'waiting'} end
  if f.state == 'running' and f.owner ~= worker then return {'taken', f.owner} end

  local frames = {}
  if f.state ~= 'running' then
    if f.stop_at then
      return {'stopped', end_unclaimed(k, f, rid, 'cancelled', cancelled_state(f), ttl, ARGV[8])}
    end
    local late = overdue(f, ARGV[6], ARGV[7], ARGV[10])
    if late then return {'expired', end_unclaimed(k, f, rid, 'failed', failed_state(f, late), ttl, ARGV[8])} end
    if f.state == 'waiting' then frames[1] = give_turn(k.job, k.log, f, ARGV[3]) end
    f.gen = tostring(redis.call('HINCRBY', k.job, 'gen', 1))
    redis.call('HSET', k.job, 'state', 'running', 'owner', worker)
    redis.call('PEXPIRE', k.job, ARGV[3])
    redis.call('PEXPIRE', k.log, ARGV[3])
  end
  local length = redis.call('LLEN', k.log)
  if length == 1 then
    frames[#frames + 1] = frame_of(f, 'response.in_progress', 1, '', IN_PROGRESS)
    redis.call('RPUSH', k.log, frames[#frames])
    length = 2
    publish(ARGV[8], rid, 2 - #frames, frames, false)
  end
  return {'claimed', f.gen, length, f.request, f.envelope, f.base, f.record, f.gen - 1, f.chain, f.abandon_s,
    seconds_left(f), f.session, f.tenant, f.subject, f.trace or ''}
end

local state, stop_at, queued_at, deadline_at, gen, envelope, base, request, record, chain, abandon_s, session, tenant,
  subject, trace = unpack(redis.call('HMGET', KEYS[1], 'state', 'stop_at', 'queued_at', 'deadline_at', 'gen',
    'envelope', 'base', 'request', 'record', 'chain', 'abandon_s', 'session', 'tenant', 'subject', 'trace'))
if state ~= 'queued' or stop_at then return claim_any() end
local t = redis.call('TIME')
local now_s = t[1] + t[2] / 1000000
local left_s = deadline_at and string.format('%.6f', deadline_at - now_s) or ''
if now_s - queued_at > tonumber(ARGV[6]) or (deadline_at and tonumber(left_s) <= 0) then return claim_any() end

--@include _frame
--@include _log

local length, earlier = redis.call('LLEN', KEYS[2]), tonumber(gen)
redis.call('HSET', KEYS[1], 'state', 'running', 'owner', worker, 'gen', earlier + 1)
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
if length == 1 then
  local frame = frame_of({envelope = envelope, base = base}, 'response.in_progress', 1, '', IN_PROGRESS)
  length = redis.call('RPUSH', KEYS[2], frame)
  publish(ARGV[8], rid, 1, {frame}, false)
end
return {'claimed', tostring(earlier + 1), length, request, envelope, base, record, earlier, chain, abandon_s, left_s,
  session, tenant, subject, trace or ''}
