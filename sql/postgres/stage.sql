-- The columns of the load with the target's own types; gone with the transaction.
CREATE TEMPORARY TABLE dxt_stage ON COMMIT DROP AS SELECT {columns} FROM {target} WITH NO DATA
