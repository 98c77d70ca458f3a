//! The suite that every connector passes, written once.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::compute::concat_batches;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{Kind, System, people, write_parquet};

macro_rules! suite {
    ($($system:ident: $kind:expr;)*) => { $(mod $system {
        use super::*;
        #[test] fn every_type_comes_back_as_it_was() { super::types(System::new($kind)) }
        #[test] fn texts_that_break_formats_come_back() { super::texts(System::new($kind)) }
        #[test] fn dates_before_1970_and_at_the_limits_come_back() { super::limits(System::new($kind)) }
        #[test] fn names_that_need_quoting_work_as_tables_and_columns() { super::names(System::new($kind)) }
        #[test] fn three_hundred_columns_pass() { super::wide(System::new($kind)) }
        #[test] fn append_adds_and_replace_leaves_only_the_new() { super::append_and_replace(System::new($kind)) }
        #[test] fn upsert_updates_inserts_and_changes_nothing_twice() { super::upsert(System::new($kind)) }
        #[test] fn incremental_follows_ties_and_nulls() { super::incremental(System::new($kind)) }
        #[test] fn an_empty_source_creates_and_empties() { super::empty(System::new($kind)) }
        #[test] fn rows_are_counted_without_any_column() { super::count(System::new($kind)) }
        #[test] fn an_error_in_the_last_batch_changes_nothing() { super::late_error(System::new($kind)) }
    })* };
}

suite! {
    postgres: Kind::Postgres;
    mysql: Kind::Mysql;
    sqlite: Kind::Sqlite;
    parquet: Kind::Parquet;
    csv: Kind::Csv;
    jsonl: Kind::Jsonl;
    ipc: Kind::Ipc;
}

fn read_parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// Parquet → system → Parquet with the types declared, and every value as it was.
fn round_trip(system: &System, table: &str, columns: Vec<(&str, ArrayRef)>, fields: &str) {
    let project = &system.project;
    write_parquet(&project.path("in.parquet"), columns);
    let rest = format!("    load: {{mode: replace}}\n{fields}");
    project.run(&system.load("in.parquet", table, &rest)).exits(0);
    project.run(&system.unload(table, fields)).exits(0);
    let (before, after) = (read_parquet(&project.path("in.parquet")), read_parquet(&project.path("back.parquet")));
    assert_eq!(before.num_rows(), after.num_rows());
    let order = |b: &RecordBatch| {
        let sorted = datafusion::arrow::compute::sort_to_indices(b.column(0), None, None).unwrap();
        datafusion::arrow::compute::take_record_batch(b, &sorted).unwrap()
    };
    let (before, after) = (order(&before), order(&after));
    for (i, field) in before.schema().fields().iter().enumerate() {
        let column = after.column_by_name(field.name()).unwrap_or_else(|| panic!("{} is gone", field.name()));
        assert_eq!(column.data_type(), field.data_type(), "{}", field.name());
        assert_eq!(column.as_ref(), before.column(i).as_ref(), "{}", field.name());
    }
}

fn types(system: System) {
    let utc = "UTC";
    let decimal =
        |v: Vec<Option<i128>>, p, s| Arc::new(Decimal128Array::from(v).with_precision_and_scale(p, s).unwrap());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]))),
        ("u8", Arc::new(UInt8Array::from(vec![Some(0), Some(u8::MAX), None]))),
        ("u16", Arc::new(UInt16Array::from(vec![Some(0), Some(u16::MAX), None]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(0), Some(u32::MAX), None]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(0), Some(u64::MAX), None]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::MIN_POSITIVE), None]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(0.1), Some(-1.7976931348623157e308), None]))),
        ("money", decimal(vec![Some(-1), Some(123456789012345), None], 15, 2)),
        ("wide", decimal(vec![Some(-1), Some(99999999999999999999999999999999999999), None], 38, 10)),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(20_000), None]))),
        ("at", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(1_767_225_600_123_456), None]))),
        (
            "tz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1), Some(1_767_225_600_123_456), None]).with_timezone(utc),
            ),
        ),
        ("text", Arc::new(StringArray::from(vec![Some("a"), Some("ä日本🦀"), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&[0u8, 255, 92, 10][..]), Some(b"x"), None]))),
        ("js", Arc::new(StringArray::from(vec![Some("{\"a\": [1, 1.10]}"), Some("7"), None]))),
    ];
    let dtypes = "id int64,i8 int8,i16 int16,i32 int32,i64 int64,u8 uint8,u16 uint16,u32 uint32,u64 uint64,f32 float32,\
                  f64 float64,flag bool,day date,at time,ts timestamp,tz timestamp_tz,text string,bytes binary,js json";
    let mut fields = String::from("    fields:\n");
    for pair in dtypes.split(',') {
        let (id, dtype) = pair.trim().split_once(' ').unwrap();
        fields += &format!("      - {{id: {id}, dtype: {dtype}}}\n");
    }
    fields += "      - {id: money, dtype: decimal, precision: 15, scale: 2}\n";
    fields += "      - {id: wide, dtype: decimal, precision: 38, scale: 10}\n";
    round_trip(&system, "types", columns, &fields);
}

fn texts(system: System) {
    let nasty = [
        "it's",
        "say \"hi\"",
        "a,b",
        "line\nbreak",
        "cr\rlf\r\n",
        "back\\slash",
        "\\N",
        "\\.",
        "tab\there",
        "",
        " ",
        "NULL",
        "null",
        "|",
        "%",
        "{}",
        "\u{feff}bom",
        "日本",
        "007",
        "1e5",
        "true",
        "2024-01-01",
        "\u{1}",
    ];
    let ids = Int64Array::from_iter_values(0..nasty.len() as i64);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(ids)), ("t", Arc::new(StringArray::from(nasty.to_vec())))];
    let fields = "    fields: [{id: id, dtype: int64}, {id: t, dtype: string}]\n";
    round_trip(&system, "texts", columns, fields);
}

fn limits(system: System) {
    // 0001-01-01, 1582-10-15, 1969-12-31, 1970-01-01, 9999-12-31
    let days = vec![-719_162, -141_427, -1, 0, 2_932_896];
    let micros: Vec<i64> = days.iter().map(|d| i64::from(*d) * 86_400_000_000 + 1).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..5))),
        ("d", Arc::new(Date32Array::from(days))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(micros.clone()))),
        ("tz", Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))),
    ];
    let fields = "    fields: [{id: id, dtype: int64}, {id: d, dtype: date}, {id: ts, dtype: timestamp}, {id: tz, dtype: timestamp_tz}]\n";
    round_trip(&system, "limits", columns, fields);
}

fn names(system: System) {
    for table in ["select", "Mixed Case", "日本"] {
        let column = |v: i64| Arc::new(Int64Array::from(vec![v])) as ArrayRef;
        let columns = vec![
            ("select", column(1)),
            ("Mixed Case", column(2)),
            ("a\"b", column(3)),
            ("日本", column(4)),
            ("a.b", column(5)),
        ];
        round_trip(&system, table, columns, "");
        assert_eq!(system.rows(table), ["1|2|3|4|5"], "{table}");
    }
}

fn wide(system: System) {
    let names: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
    let columns = names.iter().enumerate();
    let columns =
        columns.map(|(i, n)| (n.as_str(), Arc::new(Int64Array::from(vec![i as i64, -1])) as ArrayRef)).collect();
    round_trip(&system, "wide", columns, "");
}

fn append_and_replace(system: System) {
    let project = &system.project;
    people(&project.path("one.parquet"), &[(1, Some("a"), Some(10)), (2, None, Some(20))]);
    people(&project.path("two.parquet"), &[(3, Some("c"), None)]);
    let ran = project.run(&system.load("one.parquet", "t", "    load: {mode: append}\n")).exits(0);
    assert_eq!(ran.counts("s"), [2, 2, 0, 0]);
    project.run(&system.load("two.parquet", "t", "    load: {mode: append}\n")).exits(0);
    assert_eq!(system.rows("t"), ["1|a|10", "2|NULL|20", "3|c|NULL"]);
    project.run(&system.load("two.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    assert_eq!(system.rows("t"), ["3|c|NULL"]);
}

fn upsert(system: System) {
    let project = &system.project;
    people(&project.path("one.parquet"), &[(1, Some("a"), Some(10)), (2, Some("b"), None)]);
    people(&project.path("two.parquet"), &[(2, Some("b"), Some(5)), (3, Some("c"), Some(30))]);
    let rest = "    load: {mode: upsert, upsert_keys: [id]}\n";
    if !system.can_upsert() {
        let ran = project.run(&system.load("one.parquet", "t", rest)).exits(2);
        assert!(ran.err.contains("upsert") && ran.err.contains("append, replace"), "{}", ran.err);
        assert!(!project.path("out").exists(), "nothing is touched by a pipeline that is wrong");
        return;
    }
    let counts = |file: &str| project.run(&system.load(file, "t", rest)).exits(0).counts("s");
    assert_eq!(counts("one.parquet"), [2, 2, 0, 0]);
    assert_eq!(counts("two.parquet"), [2, 1, 1, 0]);
    assert_eq!(counts("two.parquet"), [2, 0, 0, 2]);
    assert_eq!(system.rows("t"), ["1|a|10", "2|b|5", "3|c|30"]);

    people(&project.path("double.parquet"), &[(7, Some("x"), Some(1)), (7, Some("y"), Some(1))]);
    let ran = project.run(&system.load("double.parquet", "t", rest)).exits(1);
    let message = ran.stream("s")["error"]["report"].as_str().unwrap().to_string();
    assert!(message.contains("id") && message.contains('7'), "the error shows the key: {message}");
    write_parquet(
        &project.path("nokey.parquet"),
        vec![
            ("id", Arc::new(Int64Array::from(vec![Some(8), None]))),
            ("name", Arc::new(StringArray::from(vec!["x", "y"]))),
            ("v", Arc::new(Int64Array::from(vec![1, 2]))),
        ],
    );
    let ran = project.run(&system.load("nokey.parquet", "t", rest)).exits(1);
    let message = ran.stream("s")["error"]["message"].as_str().unwrap().to_string();
    assert!(message.contains("id") && message.contains("NULL"), "{message}");
    assert_eq!(system.rows("t"), ["1|a|10", "2|b|5", "3|c|30"]);
}

fn incremental(system: System) {
    let project = &system.project;
    let append = "    extract: {mode: incremental, watermark_field: v}\n    load: {mode: append}\n";
    people(&project.path("src.parquet"), &[(1, Some("a"), Some(10)), (2, Some("b"), Some(20)), (3, Some("n"), None)]);
    let load = |rest: &str, table: &str| project.run(&system.load("src.parquet", table, rest)).exits(0);
    assert_eq!(load(append, "t").counts("s"), [3, 3, 0, 0]);
    // A tie that came later is missed by an append, as documented; a NULL is not taken twice.
    let later = [
        (1, Some("a"), Some(10)),
        (2, Some("b"), Some(20)),
        (3, Some("n"), None),
        (4, Some("t"), Some(20)),
        (5, Some("e"), Some(30)),
    ];
    people(&project.path("src.parquet"), &later);
    let ran = load(append, "t");
    assert_eq!(ran.counts("s"), [1, 1, 0, 0]);
    assert_eq!(
        (ran.stream("s")["watermark_from"].as_str(), ran.stream("s")["watermark_to"].as_str()),
        (Some("20"), Some("30"))
    );
    assert_eq!(load(append, "t").counts("s"), [0, 0, 0, 0]);
    assert_eq!(system.rows("t"), ["1|a|10", "2|b|20", "3|n|NULL", "5|e|30"]);

    if system.can_upsert() {
        let upsert =
            "    extract: {mode: incremental, watermark_field: v}\n    load: {mode: upsert, upsert_keys: [id]}\n";
        people(&project.path("src.parquet"), &later[..2]);
        assert_eq!(load(upsert, "u").counts("s"), [2, 2, 0, 0]);
        people(
            &project.path("src.parquet"),
            &[(1, Some("a"), Some(10)), (2, Some("b"), Some(20)), (4, Some("t"), Some(20))],
        );
        // An upsert takes ties again: the old one changes nothing, the late one arrives.
        assert_eq!(load(upsert, "u").counts("s"), [2, 1, 0, 1]);
    }
}

fn empty(system: System) {
    let project = &system.project;
    people(&project.path("none.parquet"), &[]);
    people(&project.path("one.parquet"), &[(1, Some("a"), Some(10))]);
    let replace = "    load: {mode: replace}\n";
    project.run(&system.load("none.parquet", "t", replace)).exits(0);
    assert_eq!(system.rows("t"), [""; 0]);
    project.run(&system.load("one.parquet", "t", replace)).exits(0);
    project.run(&system.load("none.parquet", "t", replace)).exits(0);
    assert_eq!(system.rows("t"), [""; 0]);
}

fn count(system: System) {
    let project = &system.project;
    people(&project.path("one.parquet"), &[(1, Some("a"), Some(10)), (2, None, Some(20)), (3, None, None)]);
    project.run(&system.load("one.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    let name = match system.kind {
        Kind::Postgres => format!("sys.{}", system.sql_name("t")),
        Kind::Mysql => format!("sys.{}.t", system.schema()),
        Kind::Sqlite => "sys.t".into(),
        _ if system.kind == Kind::Ipc => "sys.\"t/*.arrow\"".into(),
        Kind::Parquet => "sys.\"t/*.parquet\"".into(),
        Kind::Csv => "sys.\"t/*.csv\"".into(),
        _ => "sys.\"t/*.jsonl\"".into(),
    };
    let ran =
        project.dxt(&["query", &format!("SELECT count(*) AS n FROM {name}"), "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "n\n3\n");
}

fn late_error(system: System) {
    let project = &system.project;
    people(&project.path("one.parquet"), &[(1, Some("a"), Some(10)), (2, Some("b"), Some(20))]);
    project.run(&system.load("one.parquet", "t", "    load: {mode: replace}\n")).exits(0);
    let before = system.rows("t");
    let mut texts: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    texts.push("12x".into());
    let n = texts.len() as i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(100..100 + n))),
        ("name", Arc::new(StringArray::from(vec!["z"; texts.len()]))),
        ("v", Arc::new(StringArray::from(texts))),
    ];
    write_parquet(&project.path("bad.parquet"), columns);
    for buffer in ["", "buffer: {format: none}\n"] {
        for mode in ["append", "replace", "upsert"] {
            if mode == "upsert" && !system.can_upsert() {
                continue;
            }
            let keys = if mode == "upsert" { ", upsert_keys: [id]" } else { "" };
            let rest = format!(
                "    fields: [id, name, {{id: v, dtype: int64}}]\n    extract: {{batch_size: 100}}\n    load: {{mode: {mode}{keys}}}\n{buffer}"
            );
            let ran = project.run(&system.load("bad.parquet", "t", &rest)).exits(1);
            let error = ran.stream("s")["error"].clone();
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains("stream s") && message.contains("field v") && message.contains("`12x`"),
                "{message}"
            );
            assert_eq!(system.rows("t"), before, "{mode} {buffer}");
        }
    }
    // Nothing is left beside the target either.
    if system.is_file() {
        let left: Vec<_> = std::fs::read_dir(project.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["t"]);
    }
}
