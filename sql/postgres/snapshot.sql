-- The state that all readers of a run share, as long as this transaction is open; which it is while others read.
SET LOCAL idle_in_transaction_session_timeout = 0;
