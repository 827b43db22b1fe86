-- Fragment, included by the scripts that log frames or end a job. It defines functions only.
--
-- `f` is the job hash as a table.

--@include _frame

-- No request was made: zero usage, and the upstream is the source of that truth (design, promise 5).
local NO_USAGE = '{"input_tokens":0,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},'
  .. '"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0,"source":"upstream"}'

local function read_job(job)
  local flat = redis.call('HGETALL', job)
  local f = {}
  for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
  return f
end

-- Unix seconds with microseconds, as text: a Lua number would round it.
local function now()
  local t = redis.call('TIME')
  return string.format('%d.%06d', t[1], t[2])
end

--@include _log

-- Leave the lane; returns the id of the response whose turn it is now, or ''. The caller promotes it, after it has
-- put it into the queue: the queue stays a superset.
local function leave_lane(lanes, lane, rid)
  if lane == '' then return '' end
  local held = redis.call('HGET', lanes, lane)
  if not held then return '' end
  local rest, was_first, first = {}, false, true
  for id in string.gmatch(held, '%S+') do
    if id == rid then was_first = first else rest[#rest + 1] = id end
    first = false
  end
  if #rest == 0 then
    redis.call('HDEL', lanes, lane)
    return ''
  end
  redis.call('HSET', lanes, lane, table.concat(rest, ' '))
  return was_first and rest[1] or ''
end

-- Write a job's ending, exactly once: the caller has checked that it has none. k: job, log, live, lanes, outbox, turn.
-- frames: the last frames, the terminal event last, numbered from `first`. output: the output items (JSON).
-- ttl: {log, outbox, turn} (ms). Returns the next response of the lane.
local function end_job(k, f, rid, first, frames, status, settlement, output, ttl, channel)
  local at = now()
  append_frames(k.log, frames)
  redis.call('HSET', k.job, 'state', 'ended', 'status', status, 'settled_at', at, 'last', first + #frames - 1)
  -- The request is needed no more; of an ended job only its log and its outcome are kept.
  redis.call('HDEL', k.job, 'request')
  redis.call('SREM', k.live, rid)
  redis.call('PEXPIRE', k.job, ttl.log)
  redis.call('PEXPIRE', k.log, ttl.log)
  -- A failed response is no turn: nobody would go on from an error.
  if f.is_stored == '1' and status ~= 'failed' then
    local turn = '{"chain":' .. f.chain .. ',"request":' .. f.request .. ',"output":' .. output .. '}'
    redis.call('SET', k.turn, turn, 'PX', ttl.turn)
  end
  local record = f.record .. ',"status":"' .. status .. '","settled_at":' .. at .. settlement .. '}'
  redis.call('XADD', k.outbox, '*', 'response_id', rid, 'settlement', record)
  redis.call('PEXPIRE', k.outbox, ttl.outbox)
  local next_id = leave_lane(k.lanes, f.lane, rid)
  publish(channel, rid, first, frames, true)
  return next_id
end

-- What an unclaimed job has cost: nothing, unless an earlier claim of it made a request (then the rescue's estimate).
local function unclaimed_usage(f)
  return f.unclaimed_usage or NO_USAGE
end

-- The ending of a job that no worker has claimed, or that waits again after a requeue: cancelled by its mark, or
-- failed. Its log holds nothing yet (a waiting job), the created event, or that and the in-progress event.
local function end_unclaimed(k, f, rid, status, state, ttl, channel)
  local first = redis.call('LLEN', k.log)
  local frames = {}
  if first == 0 then frames[1] = created_frame(f) end
  local type_ = status == 'failed' and 'response.failed' or 'response.incomplete'
  frames[#frames + 1] = frame_of(f, type_, first + #frames, '', state)
  local stop_json = f.stop_at and f.stop_json or 'null'
  local settlement = ',"usage":' .. unclaimed_usage(f) .. ',"stop":' .. stop_json
  return end_job(k, f, rid, first, frames, status, settlement, '[]', ttl, channel)
end

local function cancelled_state(f)
  return ',"status":"cancelled","error":null,"incomplete_details":null,"output":[],"usage":' .. unclaimed_usage(f)
    .. ',"stop":' .. f.stop_json .. '}'
end

local function failed_state(f, error_json)
  return ',"status":"failed","error":' .. error_json .. ',"incomplete_details":null,"output":[],"usage":'
    .. unclaimed_usage(f) .. '}'
end

-- Seconds until a job's deadline, as text: 0 or less once it is over, '' where it has none.
local function seconds_left(f)
  if not f.deadline_at then return '' end
  return string.format('%.6f', f.deadline_at - now())
end

-- Why a job that nobody has claimed has waited for too long, as the error of its ending; nil while it has not. A job
-- that waits for its lane has its deadline alone.
local function overdue(f, queue_ttl_s, queue_error, deadline_error)
  if f.deadline_at and tonumber(seconds_left(f)) <= 0 then return deadline_error end
  if f.state == 'queued' and now() - f.queued_at > tonumber(queue_ttl_s) then return queue_error end
end
