-- Rows that the target has just so, compared by their images: every type has one, and 1.0 is not 1.00.
DELETE FROM pg_temp.dxt_stage AS s USING {target} AS t WHERE {match} AND {same}
