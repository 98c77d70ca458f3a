-- OR ABORT overrules a constraint's own ON CONFLICT clause: no row may be ignored or replaced in silence.
INSERT OR ABORT INTO {target} ({columns})
VALUES ({values})
