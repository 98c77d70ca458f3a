SELECT {keys}
FROM {stage} AS s
JOIN {target} AS t ON {on}
GROUP BY s.rowid
HAVING count(*) > 1
LIMIT 1
