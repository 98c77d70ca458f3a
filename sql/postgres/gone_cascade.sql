-- Rows to be deleted whose deletion would delete or change rows of another table.
SELECT {shown} FROM {target} AS t
WHERE NOT EXISTS (SELECT FROM pg_temp.dxt_stage AS s WHERE {match})
  AND EXISTS (SELECT FROM {child} AS c WHERE {reference})
LIMIT 3
