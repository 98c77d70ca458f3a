-- A temporary table cannot be read twice in one statement, so the numbers of rows that are to go have one of their own.
CREATE TEMPORARY TABLE {losers} ({row} bigint unsigned NOT NULL PRIMARY KEY) ENGINE=InnoDB
