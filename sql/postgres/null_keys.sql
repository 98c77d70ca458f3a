-- How many rows have no value for each column of the key.
SELECT {counts} FROM pg_temp.dxt_stage AS s
