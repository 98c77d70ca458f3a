-- Where to cut a column of timestamps into {parts} ranges of one width.
SELECT bound::text
FROM (SELECT DISTINCT lo + (hi - lo) * (i::float8 / {parts}) AS bound
      FROM (SELECT min({column}) AS lo, max({column}) AS hi FROM {from} WHERE isfinite({column})) AS ends,
           generate_series(1, {parts} - 1) AS i
      WHERE lo < hi) AS bounds
ORDER BY bounds.bound
