-- Rows of the load, among those that are left, whose key the target has.
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM {target} AS t WHERE {match})) FROM pg_temp.dxt_stage AS s
