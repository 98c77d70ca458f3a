-- Rows of the target to which the load brings another value of what a foreign key refers to, where rows refer to them.
SELECT {shown} FROM {target} AS t JOIN pg_temp.dxt_stage AS s ON {match}
WHERE ROW({there})::record *<> ROW({brought})::record
  AND EXISTS (SELECT FROM {child} AS c WHERE {reference})
LIMIT 3
