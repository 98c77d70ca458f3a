-- Where to cut a column of numbers into {parts} ranges of one width.
SELECT bound::text
FROM (SELECT DISTINCT floor(lo + (hi - lo) * i / {parts}) AS bound
      FROM (SELECT min({column})::numeric AS lo, max({column})::numeric AS hi FROM {from} WHERE {column}::numeric <> 'NaN') AS ends,
           generate_series(1, {parts} - 1) AS i
      WHERE lo < hi) AS bounds
ORDER BY bounds.bound
