INSERT OR ABORT INTO main.dxt_loads (pipeline, stream, run_id, target, "rows", loaded_at, dxt)
VALUES (?1, ?2, ?3, ?4, ?5, strftime('%Y-%m-%d %H:%M:%f', 'now'), ?6)
