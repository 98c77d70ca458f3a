-- Of the rows with one key, all but that with the greatest watermark.
INSERT INTO {losers}
SELECT r.{row} FROM (SELECT s.{row}, ROW_NUMBER() OVER (PARTITION BY {keys} {order}) AS dxt_rank FROM {stage} AS s) AS r
WHERE r.dxt_rank > 1
