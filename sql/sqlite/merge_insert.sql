INSERT OR ABORT INTO {target} ({columns})
SELECT {staged}
FROM {stage} AS s
WHERE s.m = 0
ORDER BY s.rowid
