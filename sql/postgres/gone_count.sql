-- Rows of the target that the load did not bring.
SELECT count(*) FROM {target} AS t WHERE NOT EXISTS (SELECT FROM pg_temp.dxt_stage AS s WHERE {match})
