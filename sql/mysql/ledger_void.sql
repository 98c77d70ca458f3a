-- The entry of a load whose table has not been put in place.
DELETE FROM {ledger} WHERE target = {target} AND REPLACE(run_id, '-', '') = {mark}
