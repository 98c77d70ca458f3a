SELECT EXISTS (
    SELECT 1 FROM main.dxt_loads AS l
    WHERE l.pipeline = ?1 AND l.stream = ?2 AND l.run_id = ?3 AND l.target = ?4
)
