#!lua
-- Purpose: log output events and publish them; fenced by owner, generation and mark.
-- Atomicity: all frames or none. A repeat of a batch that is in the log changes nothing and says `duplicate`.
-- KEYS: 1 job, 2 log.
-- ARGV: 1 response id, 2 worker id, 3 generation, 4 event channel, 5 first sequence number, 6 live time to live to renew
--   (ms; 0: leave), 7... frames. Those that a run never changes come first: it has them packed once.
-- Returns: length of the log, an integer: they are in it | {'stopped', length, mark (JSON)} | {'duplicate', length}
--   | {'gap', length} | {'fenced'} | {'gone'}.

local f = redis.call('HMGET', KEYS[1], 'state', 'owner', 'gen', 'stop_json')
if not f[1] then return {'gone'} end
if f[1] ~= 'running' or f[2] ~= ARGV[2] or f[3] ~= ARGV[3] then return {'fenced'} end
local length, first, count = redis.call('LLEN', KEYS[2]), tonumber(ARGV[5]), #ARGV - 6
if f[4] then return {'stopped', length, f[4]} end
if first ~= length then
  if first + count <= length then return {'duplicate', length} end
  return {'gap', length}
end

-- One frame of usual size, as nearly every time: no function is made, no table, and no number written out.
if count == 1 and ARGV[6] == '0' and #ARGV[7] < 65536 then
  redis.call('RPUSH', KEYS[2], ARGV[7])
  redis.call('SPUBLISH', ARGV[4], ARGV[1] .. ' ' .. ARGV[5] .. ' ' .. ARGV[5] .. ' .\n' .. ARGV[7])
  return length + 1
end

--@include _log

local frames = {}
for i = 1, count do frames[i] = ARGV[i + 6] end
append_frames(KEYS[2], frames)
if ARGV[6] ~= '0' then
  for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[6]) end
end
publish(ARGV[4], ARGV[1], first, frames, false)
return length + count
