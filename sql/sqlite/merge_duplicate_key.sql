SELECT {keys}
FROM {stage}
GROUP BY {keys}
HAVING count(*) > 1
LIMIT 1
