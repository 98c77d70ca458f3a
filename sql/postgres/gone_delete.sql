DELETE FROM {target} AS t WHERE NOT EXISTS (SELECT FROM pg_temp.dxt_stage AS s WHERE {match})
