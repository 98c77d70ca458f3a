SELECT owner, object_name, LOWER(object_type)
FROM all_objects
WHERE object_type IN ('TABLE', 'VIEW', 'MATERIALIZED VIEW') AND oracle_maintained = 'N'
ORDER BY owner, object_name
