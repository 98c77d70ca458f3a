-- The columns of each unique index that covers all rows; NULL stands for an expression.
SELECT l.name, i.name
FROM pragma_index_list(?1, 'main') AS l, pragma_index_info(l.name, 'main') AS i
WHERE l."unique" = 1 AND l.partial = 0
ORDER BY l.name, i.seqno
