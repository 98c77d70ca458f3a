INSERT INTO {target} AS t ({columns}) {overriding}
SELECT {staged} FROM pg_temp.dxt_stage AS s
ON CONFLICT ({conflict}) {action}
