-- The least and the greatest value of a column, as whole numbers.
SELECT CAST(MIN({number}) AS CHAR), CAST(MAX({number}) AS CHAR) FROM {from} WHERE {column} IS NOT NULL
