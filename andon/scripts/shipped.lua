#!lua flags=allow-oom
-- Purpose: take shipped settlement records out of an outbox, and the outbox away with its last one.
-- Atomicity: a record that is settled meanwhile is seen: then the outbox stays. Runs at maxmemory too: it frees memory.
-- KEYS: 1 outbox.
-- ARGV: 1... entry ids, copied already.
-- Returns: {'left', number of records}.

redis.call('XDEL', KEYS[1], unpack(ARGV))
local left = redis.call('XLEN', KEYS[1])
if left == 0 then redis.call('DEL', KEYS[1]) end
return {'left', left}
