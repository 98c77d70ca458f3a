//! Plans as EXPLAIN prints them, pinned whole: from a file, with what is pushed into it.

use crate::quickstart;
use crate::support::{Project, sqlite3};

#[test]
fn the_plans_of_a_stream_show_projection_filter_sql_and_statements() {
    let project = Project::new();
    sqlite3(&project.path("s.db"), "CREATE TABLE t (id BIGINT, \"Mixed Case\" TEXT, n INT4, unused TEXT)");
    project.write(
        "p.yaml",
        "version: 1\nname: p\nconnections: {src: 'sqlite:///s.db', db: 'sqlite:///t.db'}\nstreams:\n  - id: s\n    source: {connection: src, value: t}\n    \
         target: {connection: db, value: copy}\n    fields: [id, {id: m, source: 'Mixed Case'}, {id: double, dtype: decimal, precision: 12, scale: 2, source: {expression: 'n * 2'}}]\n    \
         criteria: {where: \"n > 5\"}\n    load: {mode: upsert, upsert_keys: [id]}\n",
    );
    let plan = project.dxt(&["explain", "p.yaml"]).exits(0).out;
    insta::assert_snapshot!("sqlite_upsert", plan);
    project.write("direct.yaml", &(project.read("p.yaml") + "buffer: {format: none}\n"));
    insta::assert_snapshot!("sqlite_upsert_without_buffer", project.dxt(&["explain", "direct.yaml"]).exits(0).out);
}

#[test]
fn the_quickstart_pushes_projection_and_filter_into_its_parquet_file() {
    let project = quickstart::copy();
    let plan = project.dxt(&["explain", "pipeline.yaml", "--select", "orders"]).exits(0).out;
    let scan = plan.lines().find(|l| l.contains("TableScan") && l.contains("shop")).unwrap_or_else(|| panic!("{plan}"));
    assert!(scan.contains("projection=[order_id, customer_id") && scan.contains("status"), "{plan}");
    let file = plan
        .lines()
        .find(|l| l.contains("DataSourceExec") && l.contains("orders.parquet"))
        .unwrap_or_else(|| panic!("{plan}"));
    assert!(file.contains("predicate=status") && file.contains("draft"), "{file}");
}
