SELECT column_name,
    CASE
        WHEN data_type = 'NUMBER' AND data_precision IS NOT NULL
            THEN 'NUMBER(' || data_precision || ',' || data_scale || ')'
        WHEN data_type = 'NUMBER' AND data_scale = 0 THEN 'NUMBER(38,0)'
        ELSE data_type
    END,
    CASE nullable WHEN 'N' THEN 'NO' ELSE 'YES' END
FROM all_tab_columns
WHERE owner = {owner} AND table_name = {table}
ORDER BY column_id
