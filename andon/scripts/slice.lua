#!lua
-- Purpose: read events of a log from a number on, as many as fit: a frame may be one token, or a whole long answer.
-- Atomicity: a read.
-- KEYS: 1 log.
-- ARGV: 1 first sequence number, 2 most frames, 3 most bytes (at least one frame is read, however large).
-- Returns: the frames, none at or beyond the end of the log.

local first, most_frames, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local frames, bytes = {}, 0
-- In small steps, so that a few large frames are not all read to be thrown away.
local STEP = 8
while #frames < most_frames do
  local step = redis.call('LRANGE', KEYS[1], first + #frames, first + #frames + STEP - 1)
  for i = 1, #step do
    if #frames >= most_frames or (#frames > 0 and bytes + #step[i] > most_bytes) then return frames end
    frames[#frames + 1] = step[i]
    bytes = bytes + #step[i]
  end
  if #step < STEP then return frames end
end
return frames
