INSERT INTO {target} ({columns}) {overriding}
SELECT {staged} FROM pg_temp.dxt_stage AS s WHERE NOT EXISTS (SELECT FROM {target} AS t WHERE {match})
