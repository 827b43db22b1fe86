#!lua
-- Purpose: accept a response: write its job and log `response.created`, or make it wait for its lane.
-- Atomicity: checks first; then the job, the live set and the lane are written, the event is published last.
--   A repeat with the same id changes nothing, so the caller may retry after a lost reply.
-- KEYS: 1 job, 2 log, 3 session, 4 live, 5 lanes, 6 seen, 7 creation (the client's
--   event id; the job's own key where it gave none).
-- ARGV: 1 response id, 2 tenant, 3 subject, 4 session name, 5 session name as JSON, 6 lane ('' for none),
--   7 most that may wait in a lane, 8 live time to live (ms), 9 session time to live (ms), 10 envelope, 11 base,
--   12 request (JSON), 13 settlement record (open JSON object), 14 event channel,
--   15 ids of the turns before (JSON), 16 '1' if the turn is to be stored,
--   17 digest of the request ('' without an event id), 18 id of a response that is gone: its creation is forgotten,
--   19 time to live of the presence (ms; 0: never abandoned), 20 abandoned after (s),
--   21 deadline (s from now; 0: none), 22 trace context ('': none).
-- Returns: {'known', response id} | {'conflict', response id}: created before with this event id, with the same
--   request or another | {'queued'} | {'waiting', place in the lane} | {'duplicate'} | {'lane_full'} | {'foreign'}.

local rid, lane = ARGV[1], ARGV[6]
if redis.call('EXISTS', KEYS[1]) == 1 then return {'duplicate'} end
local digest = ARGV[17]
if digest ~= '' then
  local known = redis.call('HMGET', KEYS[7], 'response_id', 'digest')
  if known[1] and known[1] ~= ARGV[18] then
    return {known[2] == digest and 'known' or 'conflict', known[1]}
  end
end
local owner = redis.call('HMGET', KEYS[3], 'tenant', 'subject')
if owner[1] and (owner[1] ~= ARGV[2] or owner[2] ~= ARGV[3]) then return {'foreign'} end

local held, ahead = false, 0
if lane ~= '' then
  held = redis.call('HGET', KEYS[5], lane)
  if held then
    for _ in string.gmatch(held, '%S+') do ahead = ahead + 1 end
    if ahead > tonumber(ARGV[7]) then return {'lane_full'} end
  end
end

local t = redis.call('TIME')
local at = string.format('%d.%06d', t[1], t[2])
local fields = {
  'state', held and 'waiting' or 'queued', 'gen', '0', 'owner', '', 'tenant', ARGV[2], 'subject', ARGV[3],
  'session', ARGV[4], 'session_json', ARGV[5], 'lane', lane, 'submitted_at', at, 'envelope', ARGV[10],
  'base', ARGV[11], 'request', ARGV[12], 'record', ARGV[13], 'chain', ARGV[15], 'is_stored', ARGV[16],
  'abandon_s', ARGV[20],
}
local function add(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
if not held then add('queued_at', at) end
if ARGV[22] ~= '' then add('trace', ARGV[22]) end
if ARGV[21] ~= '0' and tonumber(ARGV[21]) > 0 then add('deadline_at', string.format('%.6f', at + ARGV[21])) end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIRE', KEYS[1], ARGV[8])
if not owner[1] then redis.call('HSET', KEYS[3], 'tenant', ARGV[2], 'subject', ARGV[3], 'session', ARGV[4]) end
redis.call('SADD', KEYS[4], rid)
for i = 3, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[9]) end
if lane ~= '' then
  redis.call('HSET', KEYS[5], lane, held and (held .. ' ' .. rid) or rid)
  redis.call('PEXPIRE', KEYS[5], ARGV[9])
end
if digest ~= '' then
  redis.call('HSET', KEYS[7], 'response_id', rid, 'digest', digest)
  redis.call('PEXPIRE', KEYS[7], 2 * ARGV[8])
end
if ARGV[19] ~= '0' then redis.call('SET', KEYS[6], '1', 'PX', ARGV[19]) end
if held then return {'waiting', ahead} end

--@include _frame
--@include _log

local frame = created_frame({envelope = ARGV[10], session_json = ARGV[5], base = ARGV[11]})
redis.call('RPUSH', KEYS[2], frame)
redis.call('PEXPIRE', KEYS[2], ARGV[8])
publish(ARGV[14], rid, 0, {frame}, false)
return {'queued'}
