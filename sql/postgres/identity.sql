-- Who the session is, for the time when nothing comes from it any more; and what its server is.
SELECT pg_catalog.pg_backend_pid(), extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only');
