CREATE TABLE IF NOT EXISTS main.dxt_loads (
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    run_id TEXT NOT NULL,
    target TEXT NOT NULL,
    "rows" INTEGER NOT NULL,
    loaded_at TEXT NOT NULL,
    dxt TEXT NOT NULL,
    PRIMARY KEY (pipeline, stream, run_id, target)
)
