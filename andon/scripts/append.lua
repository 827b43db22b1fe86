#!lua
-- Purpose: log output events and publish them; fenced by owner, generation and mark.
-- Atomicity: all frames or none. A repeat of a batch that is in the log changes nothing and says `duplicate`.
-- KEYS: 1 job, 2 log.
-- ARGV: 1 response id, 2 worker id, 3 generation, 4 first sequence number, 5 live time to live to renew (ms; 0: leave),
--   6 event channel, 7... frames.
-- Returns: {'ok', length of the log} | {'stopped', length, mark (JSON)} | {'duplicate', length} | {'gap', length}
--   | {'fenced'} | {'gone'}.

--@include _log

local f = redis.call('HMGET', KEYS[1], 'state', 'owner', 'gen', 'stop_json')
if not f[1] then return {'gone'} end
if f[1] ~= 'running' or f[2] ~= ARGV[2] or f[3] ~= ARGV[3] then return {'fenced'} end
local length, first, count = redis.call('LLEN', KEYS[2]), tonumber(ARGV[4]), #ARGV - 6
if f[4] then return {'stopped', length, f[4]} end
if first ~= length then
  if first + count <= length then return {'duplicate', length} end
  return {'gap', length}
end

local frames = {}
for i = 1, count do frames[i] = ARGV[i + 6] end
append_frames(KEYS[2], frames)
if ARGV[5] ~= '0' then
  for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[5]) end
end
publish(ARGV[6], ARGV[1], first, frames, false)
return {'ok', length + count}
