-- Keys that several rows of the load have.
SELECT {shown} FROM {stage} AS s GROUP BY {keys} HAVING count(*) > 1 LIMIT 3
