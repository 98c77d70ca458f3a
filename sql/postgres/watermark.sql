SELECT {greatest} AS {column} FROM {target}
