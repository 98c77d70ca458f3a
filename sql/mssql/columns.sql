SELECT COALESCE(name, ''), COALESCE(system_type_name, error_message),
    CASE WHEN is_nullable = 0 THEN 'NO' ELSE 'YES' END
FROM sys.dm_exec_describe_first_result_set({query}, NULL, 0)
WHERE is_hidden = 0 OR is_hidden IS NULL
ORDER BY column_ordinal
