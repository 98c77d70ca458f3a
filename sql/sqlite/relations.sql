-- All relations of the file that hold a user's rows. The shadow tables of virtual tables are theirs to write.
SELECT name, type, wr
FROM pragma_table_list
WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY name
