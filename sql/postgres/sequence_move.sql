-- Moves the sequence past a key, and never back. A lock on it would wait for sessions that have taken a number and wait
-- for the target, so that the value is compared in the moment it is set.
SELECT pg_catalog.setval({name}, $1) FROM {sequence}
WHERE last_value {before} $1 OR (last_value = $1 AND NOT is_called)
