-- Rows that the target has just so, byte for byte.
DELETE s FROM {stage} AS s JOIN {target} AS t ON {match} WHERE {same}
