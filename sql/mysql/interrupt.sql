SET @dxt_session = (
    SELECT MAX(id)
    FROM information_schema.processlist
    WHERE info LIKE '{marker}%' AND id <> CONNECTION_ID()
);
KILL QUERY @dxt_session
