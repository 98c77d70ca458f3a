-- What tells this database apart from every other, by whatever name it was reached. No two servers start in one microsecond.
SELECT pg_catalog.pg_postmaster_start_time()::text || ' ' || pg_catalog.current_database()
