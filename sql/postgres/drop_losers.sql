-- Of the rows with one key, all but that with the greatest watermark.
DELETE FROM pg_temp.dxt_stage AS t
USING (SELECT s.ctid AS dxt_ctid, row_number() OVER (PARTITION BY {keys} {order}) AS dxt_rank
       FROM pg_temp.dxt_stage AS s) AS ranked
WHERE t.ctid = ranked.dxt_ctid AND ranked.dxt_rank > 1
