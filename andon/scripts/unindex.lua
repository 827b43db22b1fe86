#!lua flags=allow-oom
-- Purpose: drop a session from the index of live sessions, if no create touched it since somebody looked.
-- Atomicity: compare and remove in one step: a submit writes the index first, so its new score keeps the entry.
-- KEYS: 1 index of sessions.
-- ARGV: 1 session tag, 2 score as it was seen.
-- Returns: {'dropped'} | {'touched'}.

if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return {'touched'} end
redis.call('ZREM', KEYS[1], ARGV[1])
return {'dropped'}
