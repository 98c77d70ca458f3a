-- The key that the sequence would come to last, among those that it can come to.
SELECT {round}({last}({column})::numeric)::bigint FROM {target} WHERE {column} BETWEEN {least} AND {greatest}
