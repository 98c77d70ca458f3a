-- Whether two rows of the load have one key.
SELECT EXISTS (SELECT FROM pg_temp.dxt_stage AS s GROUP BY {keys} HAVING count(*) > 1)
