-- Tables that loads of one target have built aside and not put in place.
SELECT t.table_name FROM information_schema.tables AS t WHERE t.table_schema = ? AND t.table_name LIKE ?
