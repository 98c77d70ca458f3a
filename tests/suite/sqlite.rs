//! SQLite's own traits: values that disagree with their declared types, digits past 15.

use crate::support::{Project, sqlite3};

fn read(project: &Project, fields: &str) -> crate::support::Ran {
    project.run(&format!(
        "version: 1\nname: p\nconnections: {{db: 'sqlite:///t.db', out: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    \
         source: {{connection: db, value: t}}\n    target: {{connection: out, value: x.csv}}\n    load: {{mode: replace}}\n{fields}"
    ))
}

#[test]
fn a_value_that_disagrees_with_its_declared_type_names_table_column_and_rowid() {
    for (declared, value, shown) in [
        ("INTEGER", "'abc'", "abc"),
        ("TINYINT", "300", "300"),
        ("DATE", "'yesterday'", "yesterday"),
        ("DECIMAL(5,2)", "1.234", "1.234"),
        ("TIMESTAMP", "1700000000", "1700000000"),
        ("BOOLEAN", "7", "7"),
    ] {
        let project = Project::new();
        sqlite3(
            &project.path("t.db"),
            &format!("CREATE TABLE t (id INTEGER, c {declared}); INSERT INTO t VALUES (1, NULL), (2, {value})"),
        );
        let ran = read(&project, "").exits(1);
        let error = ran.stream("s")["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("column c") && message.contains("rowid 2") && message.contains(shown),
            "{declared}: {message}"
        );
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("dtype: string") || hint.contains("as int64"), "{error}");
        read(&project, "    fields: [id, {id: c, dtype: string}]\n").exits(0);
        assert_eq!(project.read("x.csv"), format!("id,c\n1,\n2,{shown}\n"), "{declared}");
    }
}

#[test]
fn wide_decimals_come_back_exact_and_their_watermark_is_numeric() {
    let project = Project::new();
    project.write("in.csv", "id,d\n1,9.0000000000\n2,10.0000000000\n");
    let yaml = "version: 1\nname: p\nconnections: {db: 'sqlite:///t.db', in: {type: file, path: .}}\nstreams:\n  - id: s\n    \
                source: {connection: in, value: in.csv}\n    target: {connection: db, value: t}\n    \
                fields: [id, {id: d, dtype: decimal, precision: 38, scale: 10}]\n    \
                extract: {mode: incremental, watermark_field: d}\n    load: {mode: append}\n";
    project.run(yaml).exits(0);
    project.write("in.csv", "id,d\n3,9.5000000000\n4,12345678901234567890.1234567891\n");
    let ran = project.run(yaml).exits(0);
    // As text 9.5 is greater than 10.
    assert_eq!(ran.counts("s"), [1, 1, 0, 0]);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT d FROM t WHERE id = 4"), "12345678901234567890.1234567891");
}
