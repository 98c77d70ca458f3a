-- By bytes, as dxt compares texts.
SELECT {item} FROM {target} WHERE {column} IS NOT NULL ORDER BY {bytes} DESC LIMIT 1
