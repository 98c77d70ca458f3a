-- Two loads that both miss it take turns.
SELECT pg_catalog.pg_advisory_xact_lock({turn}, pg_catalog.hashtext({name}));
CREATE TABLE IF NOT EXISTS {ledger} (
    pipeline text NOT NULL,
    stream text NOT NULL,
    run_id text NOT NULL,
    target text NOT NULL,
    rows bigint NOT NULL,
    loaded_at timestamp with time zone NOT NULL,
    dxt text NOT NULL,
    PRIMARY KEY (pipeline, stream, run_id, target)
)
