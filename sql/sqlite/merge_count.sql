SELECT count(*)
FROM {stage} AS s
JOIN {target} AS t ON {on}
