-- Fragment, included after `_ending` by the scripts that give a waiting job its turn. It defines functions only.

-- Whether it is a job's turn. A lane that Redis lost holds up nobody.
local function is_first_in_lane(lanes, f, rid)
  local held = redis.call('HGET', lanes, f.lane)
  return not held or string.match(held, '%S+') == rid
end

-- Queue a waiting job; returns the frame that is to be published last. ttl: of the job and its log (ms).
local function give_turn(job, log, f, ttl)
  local frame = created_frame(f)
  f.state, f.queued_at = 'queued', now()
  redis.call('HSET', job, 'state', f.state, 'queued_at', f.queued_at)
  redis.call('PEXPIRE', job, ttl)
  redis.call('RPUSH', log, frame)
  redis.call('PEXPIRE', log, ttl)
  return frame
end
