//! Memory as the system sees it: bounded by `--memory-limit` whatever a query does, and flat whatever the size of a table.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

use crate::support::{Kind, Measured, Project, System, measured, psql, python, sqlite3};

/// A file of rows `id` (each once, in no order), `grp` (ten values), `name` (each once, about 100 bytes).
fn rows(path: &Path, count: i64) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(50_000)).build();
    let mut writer = None;
    for from in (0..count).step_by(50_000) {
        // A step that shares no factor with the count visits each number once.
        let ids: Vec<i64> = (from..count.min(from + 50_000)).map(|i| (i * 7_919) % count).collect();
        let names = ids.iter().map(|i| format!("{:020}{}", (i * 104_729) % count, "x".repeat(80)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(ids.clone()))),
            ("grp", Arc::new(Int64Array::from_iter_values(ids.iter().map(|i| i % 10)))),
            ("name", Arc::new(StringArray::from_iter_values(names))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties.clone())).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
}

/// Moves the result of a query into `out.parquet` under a limit, and gives the peak in MB.
fn query(project: &Project, sql: &str, limit_mb: u64) -> u64 {
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    source: {{type: query, sql: \"{}\"}}\n    \
         target: {{connection: files, value: out.parquet}}\n    load: {{mode: replace}}\n",
        sql.replace('"', "\\\"")
    );
    project.write("p.yaml", &yaml);
    let limit = format!("{limit_mb}MB");
    let args = ["run", "p.yaml", "--format", "json", "--quiet", "--memory-limit", &limit, "--temp-dir", "spill"];
    let Measured { ran, peak_mb } = measured(project, &args);
    ran.exits(0);
    println!("{sql}: peak {peak_mb} MB of {limit_mb}");
    assert!(peak_mb <= limit_mb, "{sql}: peak {peak_mb} MB");
    assert_eq!(std::fs::read_dir(project.path("spill")).unwrap().count(), 0, "what was spilled is gone");
    peak_mb
}

/// Rows, and whether a column of the result ascends.
fn result(project: &Project, column: &str) -> (String, String) {
    let program = "import sys, pyarrow.parquet as pq\nn, last, up = 0, None, True\n\
        for b in pq.ParquetFile(sys.argv[1]).iter_batches(columns=[sys.argv[2]]):\n    for v in b.column(0).to_pylist():\n        \
        up = up and (last is None or last <= v)\n        last = v\n        n += 1\nprint(n, up)";
    let path = project.path("out.parquet").to_string_lossy().into_owned();
    let text = python(program, &[&path, column]);
    let (rows, up) = text.split_once(' ').unwrap();
    (rows.into(), up.into())
}

#[test]
fn a_sort_of_more_than_the_limit_spills() {
    let project = Project::new();
    rows(&project.path("in.parquet"), 4_000_037);
    query(&project, "SELECT * FROM files.\"in.parquet\" ORDER BY name", 384);
    assert_eq!(result(&project, "name"), ("4000037".into(), "True".into()));
}

#[test]
fn a_join_of_more_than_the_limit_spills() {
    let project = Project::new();
    rows(&project.path("a.parquet"), 2_500_009);
    rows(&project.path("b.parquet"), 2_500_009);
    let sql = "SELECT a.id, a.name, b.name AS other FROM files.\"a.parquet\" a JOIN files.\"b.parquet\" b ON a.id = b.id \
               WHERE a.name = b.name";
    query(&project, sql, 384);
    assert_eq!(result(&project, "id").0, "2500009");
}

#[test]
fn groups_many_and_few_stay_within_the_limit() {
    let project = Project::new();
    rows(&project.path("in.parquet"), 4_000_037);
    query(&project, "SELECT name, count(*) AS n, max(id) AS m FROM files.\"in.parquet\" GROUP BY name", 384);
    assert_eq!(result(&project, "name").0, "4000037");
    query(&project, "SELECT grp, count(*) AS n, max(name) AS m FROM files.\"in.parquet\" GROUP BY grp", 384);
    assert_eq!(result(&project, "grp").0, "10");
}

#[test]
fn what_cannot_spill_is_an_error_that_names_the_limit() {
    let project = Project::new();
    rows(&project.path("in.parquet"), 3_000_017);
    // One value of three hundred megabytes.
    let sql = "SELECT length(string_agg(name, ',')) FROM 'in.parquet'";
    let ran = project.dxt(&["query", sql, "--memory-limit", "256MB"]).exits(1);
    assert!(ran.err.contains("--memory-limit"), "{}", ran.err);
    let ran = project.dxt(&["query", "SELECT 1", "--memory-limit", "1MB"]).exits(2);
    assert!(ran.err.contains("256 MB at least"), "{}", ran.err);
    let ran = project.dxt(&["query", "SELECT 1", "--memory-limit", "much"]).exits(2);
    assert!(ran.err.contains("whole number"), "{}", ran.err);
}

/// Moves a file through a buffer into a system; the peak in MB.
fn moved(system: &System, file: &str) -> u64 {
    let project = &system.project;
    project.write("p.yaml", &system.load(file, "t", "    load: {mode: replace}\n"));
    let Measured { ran, peak_mb } = measured(project, &["run", "p.yaml", "--format", "json", "--quiet"]);
    ran.exits(0);
    peak_mb
}

#[test]
fn texts_of_a_megabyte_stay_flat() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::Csv, Kind::Jsonl, Kind::Parquet, Kind::Ipc] {
        let system = System::new(kind);
        let path = system.project.path("wide.parquet");
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(8)).build();
        let batch = |from: i64| {
            let texts = (from..from + 8).map(|i| {
                // Not to be compressed away.
                (0..32_768_u64)
                    .map(|j| format!("{:032x}", (i as u128 + 1) * u128::from(j + 3) * 0x9E37_79B9_7F4A_7C15))
                    .collect::<String>()
            });
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("id", Arc::new(Int64Array::from_iter_values(from..from + 8))),
                ("name", Arc::new(StringArray::from_iter_values(texts))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch(0).schema(), Some(properties)).unwrap();
        (0..30).for_each(|i| writer.write(&batch(i * 8)).unwrap());
        writer.close().unwrap();
        let peak = moved(&system, "wide.parquet");
        println!("240 texts of 1 MB into {kind:?}: peak {peak} MB");
        assert!(peak < 200, "{kind:?}: peak {peak} MB");
    }
}

/// Peaks at `base` rows and so many times as many.
fn flat(base: i64, times: &[i64]) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let system = System::new(kind);
        let mut peaks = Vec::new();
        for factor in times {
            let count = base * factor;
            rows(&system.project.path("in.parquet"), count);
            peaks.push(moved(&system, "in.parquet"));
            let sql = format!("SELECT count(*) FROM {}", system.sql_name("t"));
            let there = match kind {
                Kind::Sqlite => sqlite3(&system.project.path("t.db"), &sql),
                _ => psql(&sql),
            };
            assert_eq!(there, count.to_string());
        }
        println!("{kind:?}: peaks {peaks:?} MB at {times:?} times the rows");
        assert!(peaks.iter().all(|peak| *peak < peaks[0] + peaks[0] / 4 + 16), "{kind:?}: {peaks:?} MB");
    }
}

#[test]
fn memory_stays_flat_at_three_times_the_rows() {
    flat(400_003, &[1, 3]);
}

#[test]
#[ignore = "ten million rows: tests/run --all"]
fn memory_stays_flat_at_ten_times_the_rows() {
    // From where all that is on the way at once is on the way.
    flat(1_000_003, &[1, 3, 10]);
}
