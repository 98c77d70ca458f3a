SET NAMES utf8mb4;
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION',
    autocommit = 1, sql_notes = 1, max_error_count = 64, sql_safe_updates = 0, sql_auto_is_null = 0, foreign_key_checks = 1,
    unique_checks = 1, innodb_lock_wait_timeout = 300, lock_wait_timeout = 300, net_read_timeout = 3600,
    net_write_timeout = 86400, wait_timeout = 86400
    /*!80000 , information_schema_stats_expiry = 0 */
    /*M! , optimizer_switch = 'join_cache_hashed=on,join_cache_incremental=on', join_cache_level = 4, join_buffer_size = 33554432,
    join_buffer_space_limit = 134217728 */
