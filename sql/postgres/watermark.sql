SELECT max({value}) AS {column} FROM {target}
