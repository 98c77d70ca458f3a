-- Bounds the waiting, where neither the user's settings nor the connection's options do.
SELECT pg_catalog.set_config('lock_timeout', '{limit}', true)
FROM pg_catalog.pg_settings WHERE name = 'lock_timeout' AND setting = '0'
