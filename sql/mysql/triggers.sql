SELECT t.trigger_name FROM information_schema.triggers AS t
WHERE t.event_object_schema = ? AND t.event_object_table = ?
ORDER BY t.trigger_name
