SELECT EXISTS (
    SELECT 1 FROM {ledger}
    WHERE pipeline = {pipeline} AND stream = {stream} AND run_id = {run_id} AND target = {target}
)
