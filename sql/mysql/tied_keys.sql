-- Keys for which no watermark chooses among the rows of the load.
SELECT {shown}
FROM (SELECT s.*, RANK() OVER (PARTITION BY {keys} {order}) AS dxt_rank FROM {stage} AS s) AS s
WHERE s.dxt_rank = 1 GROUP BY {keys} HAVING count(*) > 1 LIMIT 3
