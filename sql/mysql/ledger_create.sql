CREATE TABLE IF NOT EXISTS {ledger} (
    pipeline varchar(191) NOT NULL,
    stream varchar(191) NOT NULL,
    run_id varchar(191) NOT NULL,
    target varchar(191) NOT NULL,
    `rows` bigint NOT NULL,
    loaded_at datetime(6) NOT NULL,
    dxt varchar(64) NOT NULL,
    PRIMARY KEY (pipeline, stream, run_id, target)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}
