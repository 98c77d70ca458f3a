INSERT INTO {ledger} (pipeline, stream, run_id, target, rows, loaded_at, dxt)
VALUES ({pipeline}, {stream}, {run_id}, {target}, $1, pg_catalog.clock_timestamp(), {dxt})
