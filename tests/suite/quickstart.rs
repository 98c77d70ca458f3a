//! The README's first command, in a copy of the example: twice, and compared with figures worked out from the files by
//! another program.

use serde_json::Value;

use crate::support::{Project, sqlite3};

const EXPECTED: &str = include_str!("data/quickstart.json");

pub fn copy() -> Project {
    let project = Project::new();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    for part in ["pipeline.yaml", "data", "data/events"] {
        let folder = from.join(part);
        if folder.is_file() {
            std::fs::copy(&folder, project.path(part)).unwrap();
            continue;
        }
        std::fs::create_dir_all(project.path(part)).unwrap();
        for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|f| f.path().is_file()) {
            std::fs::copy(file.path(), project.path(part).join(file.file_name())).unwrap();
        }
    }
    project
}

#[test]
fn two_runs_fill_the_warehouse_and_the_second_moves_only_what_is_new() {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    let project = copy();
    for run in ["first_run", "second_run"] {
        let ran = project.dxt(&["run", "pipeline.yaml", "--format", "json", "--quiet"]).exits(0);
        for (id, figures) in expected[run].as_object().unwrap() {
            let stream = ran.stream(id);
            let keys = [
                ("read", "rows_read"),
                ("inserted", "rows_written"),
                ("updated", "rows_updated"),
                ("unchanged", "rows_unchanged"),
            ];
            for (figure, key) in keys {
                if let Some(value) = figures[figure].as_u64() {
                    assert_eq!(stream[key].as_u64(), Some(value), "{run} {id} {key}");
                }
            }
        }
        for check in expected["checks"].as_array().unwrap() {
            let rows = sqlite3(&project.path("warehouse.db"), check["sql"].as_str().unwrap());
            let expected: Vec<String> = check["rows"].as_array().unwrap().iter().map(line).collect();
            assert_eq!(rows, expected.join("\n"), "{run}: {}", check["sql"]);
        }
    }
    assert!(
        !project.path(".dxt/buffer/quickstart/orders").read_dir().is_ok_and(|mut d| d.next().is_some()),
        "buffers are cleaned up"
    );
}

fn line(row: &Value) -> String {
    let cell = |v: &Value| match v {
        Value::Null => "NULL".into(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    row.as_array().unwrap().iter().map(cell).collect::<Vec<_>>().join("|")
}
