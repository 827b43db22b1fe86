-- Fragment, included by whatever logs frames: it alone in the script that runs for every token, because each function
-- is made anew at each call. It defines functions only.

-- A larger message would run into the server's limits for subscribers' output (8 MB for a minute by default), which
-- cut a gateway off; and a gateway reads what it is not sent from the log.
local MOST_PUBLISHED_BYTES = 1048576

-- Publish frames with their header, or the header alone. Always the last thing that a script does.
local function publish(channel, rid, first, frames, terminal)
  local message = rid .. ' ' .. first .. ' ' .. (first + #frames - 1) .. ' ' .. (terminal and '!' or '.')
  local bytes = 0
  for i = 1, #frames do bytes = bytes + #frames[i] end
  if bytes <= MOST_PUBLISHED_BYTES then message = message .. '\n' .. table.concat(frames, '\n') end
  redis.call('SPUBLISH', channel, message)
end

local function append_frames(log, frames)
  -- unpack() has a limit of some thousands; a batch may be larger.
  for i = 1, #frames, 500 do
    redis.call('RPUSH', log, unpack(frames, i, math.min(i + 499, #frames)))
  end
end
