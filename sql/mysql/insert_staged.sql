INSERT INTO {target} ({columns}) SELECT {staged} FROM {stage} AS s ORDER BY s.{row}
