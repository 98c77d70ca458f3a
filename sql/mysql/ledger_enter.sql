INSERT INTO {ledger} (pipeline, stream, run_id, target, `rows`, loaded_at, dxt)
VALUES ({pipeline}, {stream}, {run_id}, {target}, {rows}, UTC_TIMESTAMP(6), {dxt})
