-- A page of the rows of this load, and where it ends.
SELECT {columns}, {rowid}
FROM {from}
WHERE {rowid} >= ?1 AND {mine}
ORDER BY {rowid}
LIMIT {page}
