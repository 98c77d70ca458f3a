-- Who keeps a session waiting. What their statements say is theirs.
SELECT pg_catalog.format('process %s (%s)', a.pid, pg_catalog.concat_ws(', ',
           'user ' || a.usename,
           'application ' || NULLIF(a.application_name, ''),
           a.state,
           'its statement began at ' || pg_catalog.to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS') || ' UTC'))
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1))
ORDER BY a.pid
