-- Where to cut a column of dates into {parts} ranges of one width.
SELECT bound::text
FROM (SELECT DISTINCT lo + ((hi - lo)::int8 * i / {parts})::int4 AS bound
      FROM (SELECT min({column}) AS lo, max({column}) AS hi FROM {from} WHERE isfinite({column})) AS ends,
           generate_series(1, {parts} - 1) AS i
      WHERE lo < hi) AS bounds
ORDER BY bounds.bound
