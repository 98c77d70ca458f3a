DELETE s FROM {stage} AS s JOIN {losers} AS l ON l.{row} = s.{row}
