-- What a value's text depends on, pinned as pg_dump pins it; and no row may vanish or be misread in silence. The search
-- path stays the user's: relations without a schema and the source's SQL go by it.
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET "TimeZone" = 'UTC';
SET "DateStyle" = 'ISO, MDY';
SET "IntervalStyle" = 'postgres';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET lc_monetary = 'C';
SET xmloption = content;
SET array_nulls = on;
SET quote_all_identifiers = off;
SET synchronize_seqscans = off;
SET row_security = off;
-- A lock is waited for five minutes, where nobody has said how long.
SELECT pg_catalog.set_config('lock_timeout', '5min', false)
FROM pg_catalog.pg_settings WHERE name = 'lock_timeout' AND setting = '0' AND source = 'default';
-- A role's or database's timeouts are meant for people at a prompt; those that the connection's own options set stay.
SELECT pg_catalog.set_config(name, '0', false)
FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')
  AND source <> 'client';
