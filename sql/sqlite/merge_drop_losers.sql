-- Rows of a key that another row has won by its greater watermark; rows that tie for the win all stay.
DELETE FROM {stage}
WHERE rowid IN (
    SELECT id
    FROM (SELECT rowid AS id, rank() OVER (PARTITION BY {keys} ORDER BY o DESC) AS place FROM {stage})
    WHERE place > 1
)
