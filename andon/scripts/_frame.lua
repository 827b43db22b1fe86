-- Fragment, included by whatever logs the first frames of a job. It defines functions only.
--
-- Frames are joined from three texts that the submit wrote: `envelope` (members of every event), `base` (the Response's
-- constant members, an object without its closing brace) and a state. `f`: a table with at least those two.

local QUEUED = ',"status":"queued","error":null,"incomplete_details":null,"output":[],"usage":null}'
local IN_PROGRESS = ',"status":"in_progress","error":null,"incomplete_details":null,"output":[],"usage":null}'

local function frame_of(f, type_, number, extra, state)
  return '{"type":"' .. type_ .. '","sequence_number":' .. number .. ',' .. f.envelope .. extra
    .. ',"response":' .. f.base .. state .. '}'
end

local function created_frame(f)
  return frame_of(f, 'response.created', 0, ',"session":' .. f.session_json, QUEUED)
end
