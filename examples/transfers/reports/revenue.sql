/* dxt
name: revenue
description: What was earned since a day
load: {mode: replace}
tags: [report]
*/

-- dxt: {id: revenue_by_segment, target: revenue_by_segment}
SELECT
    c.segment,
    count(*) AS orders,
    sum(o.amount) AS revenue
FROM shop."orders.parquet" AS o
INNER JOIN shop."customers.csv" AS c USING (customer_id)
WHERE o.status <> 'draft' AND o.created_at >= $since
GROUP BY c.segment;

/* dxt
id: best_customers
target: {connection: out, value: best_customers.csv}
*/
SELECT
    c.customer_id,
    c.full_name,
    sum(o.amount) AS revenue
FROM shop."orders.parquet" AS o
INNER JOIN shop."customers.csv" AS c USING (customer_id)
WHERE o.status <> 'draft' AND o.created_at >= $since
GROUP BY c.customer_id, c.full_name
ORDER BY revenue DESC, c.customer_id
LIMIT 20;
