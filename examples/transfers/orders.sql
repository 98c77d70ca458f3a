/* dxt
description: Orders with their customer's segment, kept up to date
target: orders            # a table of the project's default connection
tags: [daily]
mode: upsert
keys: [order_id]
watermark: updated_at     # only rows that are new or changed since the last run
lookback: 1h
*/
SELECT
    o.order_id,
    o.customer_id,
    c.segment,
    o.amount,
    o.status,
    o.updated_at
FROM shop."orders.parquet" AS o
LEFT JOIN shop."customers.csv" AS c USING (customer_id)
WHERE o.status <> 'draft'
