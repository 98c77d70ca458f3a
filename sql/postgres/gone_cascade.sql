-- Rows to be deleted whose deletion would delete or change rows of another table, or rows of this one that stay.
SELECT {shown} FROM {target} AS t
WHERE NOT EXISTS (SELECT FROM pg_temp.dxt_stage AS s WHERE {match})
  AND EXISTS (SELECT FROM {child} AS c WHERE {reference} {stays})
LIMIT 3
