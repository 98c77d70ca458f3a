UPDATE {target} AS t JOIN {stage} AS s ON {match} SET {assignments}
