#!lua
-- Purpose: give a waiting response its turn: its lane is free and it stands in the queue already.
-- Atomicity: one state change; the event is published last. A repeat changes nothing.
-- KEYS: 1 job, 2 log, 3 lanes.
-- ARGV: 1 response id, 2 live time to live (ms), 3 event channel.
-- Returns: {'queued'} | {'not_waiting'} | {'lane_busy'} | {'gone'}.

--@include _ending

local f = read_job(KEYS[1])
if not f.state then return {'gone'} end
if f.state ~= 'waiting' then return {'not_waiting'} end
local held = redis.call('HGET', KEYS[3], f.lane) or ARGV[1]
if string.match(held, '%S+') ~= ARGV[1] then return {'lane_busy'} end

local frame = created_frame(f)
redis.call('HSET', KEYS[1], 'state', 'queued', 'queued_at', now())
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('RPUSH', KEYS[2], frame)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
publish(ARGV[3], ARGV[1], 0, {frame}, false)
return {'queued'}
