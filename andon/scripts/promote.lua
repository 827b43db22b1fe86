#!lua
-- Purpose: give a waiting response its turn: its lane is free and it stands in the queue already.
-- Atomicity: one state change; the event is published last. A repeat changes nothing.
-- KEYS: 1 job, 2 log, 3 lanes.
-- ARGV: 1 response id, 2 live time to live (ms), 3 event channel.
-- Returns: {'queued'} | {'not_waiting'} | {'lane_busy'} | {'gone'}.

--@include _ending
--@include _turn

local f = read_job(KEYS[1])
if not f.state then return {'gone'} end
if f.state ~= 'waiting' then return {'not_waiting'} end
if not is_first_in_lane(KEYS[3], f, ARGV[1]) then return {'lane_busy'} end

publish(ARGV[3], ARGV[1], 0, {give_turn(KEYS[1], KEYS[2], f, ARGV[2])}, false)
return {'queued'}
