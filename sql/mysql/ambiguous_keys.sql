-- Keys of the load that several rows of the target have.
SELECT {shown} FROM {stage} AS s JOIN {target} AS t ON {match} GROUP BY {keys} HAVING count(*) > 1 LIMIT 3
