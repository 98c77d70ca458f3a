-- Staged rows whose key the target has.
UPDATE {stage} AS s
SET m = 1
FROM {target} AS t
WHERE {on}
