#!lua flags=allow-oom
-- Purpose: a gateway vouches anew for the sockets of one principal that are open on it.
-- Atomicity: one write. One that was dropped meanwhile (its gateway was frozen, or Redis away) is counted again.
-- KEYS: 1 sockets.
-- ARGV: 1 how long the gateway vouches for them (ms), 2... socket ids.
-- Returns: {'ok'}.

local t = redis.call('TIME')
local until_ = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], until_, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {'ok'}
