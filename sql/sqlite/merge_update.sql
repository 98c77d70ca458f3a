-- Staged columns stand left in comparisons: their collation, BINARY, is the one that counts.
UPDATE OR ABORT {target} AS t
SET {assignments}
FROM {stage} AS s
WHERE s.m = 1 AND {on}
    AND (({staged}) IS NOT ({existing}) OR ({staged_classes}) IS NOT ({existing_classes}))
