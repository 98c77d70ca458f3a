//! A million rows through every system, in bounded memory. Slow: `tests/run --all` includes it.

use std::fs::File;
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::parquet::arrow::ArrowWriter;

use crate::support::{Kind, Measured, System, measured, psql, sqlite3};

const ROWS: i64 = 1_000_000;

fn generate(path: &std::path::Path) {
    let batch = |from: i64| {
        let ids: Vec<i64> = (from..from + 50_000).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(ids.clone()))),
            (
                "amount",
                Arc::new(
                    Decimal128Array::from_iter_values(ids.iter().map(|i| i128::from(i * 7 % 100_000)))
                        .with_precision_and_scale(12, 2)
                        .unwrap(),
                ),
            ),
            (
                "at",
                Arc::new(TimestampMicrosecondArray::from_iter_values(
                    ids.iter().map(|i| 1_700_000_000_000_000 + i * 1_000_001),
                )),
            ),
            (
                "name",
                Arc::new(StringArray::from_iter(ids.iter().map(|i| {
                    (i % 10 != 0).then(|| format!("customer, \"{}\" {}", i % 977, "x".repeat((i % 40) as usize)))
                }))),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
    };
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch(0).schema(), None).unwrap();
    for from in (0..ROWS).step_by(50_000) {
        writer.write(&batch(from)).unwrap();
    }
    writer.close().unwrap();
}

#[test]
#[ignore = "a million rows: tests/run --all"]
fn a_million_rows_pass_parquet_sqlite_parquet_postgres_csv_unchanged_in_400_mb() {
    let system = System::new(Kind::Postgres);
    let project = &system.project;
    generate(&project.path("in.parquet"));
    let table = system.sql_name("t");
    let steps = [
        ("{connection: files, value: in.parquet}", "{connection: lite, value: t}".to_string()),
        ("{connection: lite, value: t}", "{connection: files, value: mid.parquet}".to_string()),
        ("{connection: files, value: mid.parquet}", format!("{{connection: sys, value: '{table}'}}")),
        (&format!("{{connection: sys, value: '{table}'}}"), "{connection: files, value: out.csv}".to_string()),
    ];
    let mut yaml = format!(
        "version: 1\nname: chain\nconnections: {{files: {{type: file, path: .}}, lite: 'sqlite:///t.db', sys: {}}}\nload: {{mode: replace}}\nstreams:\n",
        system.connection()
    );
    for (i, (source, target)) in steps.iter().enumerate() {
        yaml += &format!("  - {{id: s{i}, source: {source}, target: {target}}}\n");
    }
    project.write("p.yaml", &yaml);
    let Measured { ran, peak_mb: peak } = measured(project, &["run", "p.yaml", "--format", "json", "--quiet"]);
    let ran = ran.exits(0);
    for i in 0..steps.len() {
        assert_eq!(ran.counts(&format!("s{i}")), [ROWS as u64, ROWS as u64, 0, 0]);
    }
    println!("peak {peak} MB; {}", ran.out);
    assert!(peak < 400, "peak {peak} MB");
    let sums = "SELECT count(*), sum(id), sum(amount), count(name), sum(length(name)), min(at), max(at)";
    let postgres = psql(&format!("{sums} FROM {table}"));
    let expected_amount: i64 = (0..ROWS).map(|i| i * 7 % 100_000).sum();
    assert!(
        postgres.contains(&format!("|{}.{:02}|900000|", expected_amount / 100, expected_amount % 100)),
        "{postgres}"
    );
    let lite = sqlite3(
        &project.path("t.db"),
        "SELECT count(*), sum(id), printf('%.2f', sum(amount)), count(name), sum(length(name)) FROM t",
    );
    assert!(postgres.starts_with(&lite), "{postgres} {lite}");
    let csv = project.dxt(&["query", &format!("{sums} FROM 'out.csv'"), "--format", "csv"]).exits(0).out;
    let cells: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    let expected: Vec<&str> = postgres.split('|').collect();
    assert_eq!(cells[..5], expected[..5]);
}
