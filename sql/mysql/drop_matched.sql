-- What is left then is new.
DELETE s FROM {stage} AS s JOIN {target} AS t ON {match}
