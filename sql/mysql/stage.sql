-- The columns of the load with the target's own types, and a number for each row.
CREATE TEMPORARY TABLE {stage} ({row} bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, {columns}) {table}
