MERGE INTO {target} AS t USING pg_temp.dxt_stage AS s ON {match}
WHEN MATCHED THEN {matched}
WHEN NOT MATCHED THEN INSERT ({columns}) {overriding} VALUES ({staged})
