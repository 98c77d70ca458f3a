-- Where to cut a column of timestamps into {parts} ranges of one width. Both ends are counted from the middle of the
-- calendar: one interval does not hold all of it.
SELECT bound::text
FROM (SELECT DISTINCT lo + ((hi - '2000-01-01') * (i::float8 / {parts}) - (lo - '2000-01-01') * (i::float8 / {parts})) AS bound
      FROM (SELECT min({column}) AS lo, max({column}) AS hi FROM {from} WHERE isfinite({column})) AS ends,
           generate_series(1, {parts} - 1) AS i
      WHERE lo < hi) AS bounds
ORDER BY bounds.bound
