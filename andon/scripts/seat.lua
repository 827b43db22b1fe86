#!lua
-- Purpose: let a socket in, if its principal has room for one more on all gateways together.
-- Atomicity: sockets that no gateway vouches for any more are dropped, then one check, one write. A repeat with the
--   same id renews it.
-- KEYS: 1 sockets.
-- ARGV: 1 socket id, 2 most sockets, 3 how long its gateway vouches for it (ms).
-- Returns: {'seated'} | {'full', sockets}.

local t = redis.call('TIME')
local at = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', at))
local sockets = redis.call('ZCARD', KEYS[1])
if sockets >= tonumber(ARGV[2]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {'full', sockets} end
redis.call('ZADD', KEYS[1], string.format('%d', at + ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'seated'}
