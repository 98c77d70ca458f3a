CREATE TABLE {target} (
    {columns}
)
