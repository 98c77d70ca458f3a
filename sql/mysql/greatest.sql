SELECT {item} FROM (SELECT MAX({column}) AS {column} FROM {target}) AS dxt_greatest
