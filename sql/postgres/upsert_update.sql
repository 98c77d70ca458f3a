UPDATE {target} AS t SET {assignments} FROM pg_temp.dxt_stage AS s WHERE {match}
