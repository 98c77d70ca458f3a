//! MySQL's rows against a server: `DXT_TEST_MYSQL_URL`, which tests/run sets.

use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, types::*};
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use futures::{StreamExt, TryStreamExt};
use mysql_async::prelude::Queryable;

use super::{Scan, System, scan, settle};
use crate::error::{Error, ErrorKind};
use crate::model::{DxtField, DxtType};

fn url() -> String {
    std::env::var("DXT_TEST_MYSQL_URL").expect("DXT_TEST_MYSQL_URL is not set: run tests/run")
}

async fn server() -> mysql_async::Conn {
    mysql_async::Conn::from_url(url()).await.expect("the server of DXT_TEST_MYSQL_URL answers")
}

fn request(sql: &str, fields: &[(&str, DxtType)]) -> Scan {
    Scan {
        system: System::MySql,
        url: format!("{}?prefer_socket=false", url()),
        prelude: vec!["SET SESSION time_zone = '+00:00', sql_mode = ''".into()],
        sql: sql.into(),
        fields: fields.iter().map(|(name, dtype)| DxtField::new(*name, dtype.clone())).collect(),
        batch_size: 1000,
        label: "shop.t".into(),
        server_error: None,
    }
}

async fn batches(request: Scan) -> Result<Vec<RecordBatch>, Error> {
    scan(request)?.try_collect().await.map_err(|e: DataFusionError| Error::from(e))
}

/// The values of one row, each as text; NULL as `None`.
async fn row(sql: &str, fields: &[(&str, DxtType)]) -> Vec<Option<String>> {
    let batches = batches(request(sql, fields)).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let batch = &batches[0];
    let shown = |column: &dyn Array| {
        let options = arrow::util::display::FormatOptions::new();
        let formatter = arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap();
        column.is_valid(0).then(|| formatter.value(0).to_string())
    };
    batch.columns().iter().map(|column| shown(column)).collect()
}

/// A query of 10^`digits` rows `n` that every server makes of nothing.
fn numbers(digits: u32) -> String {
    let digit = (0..10).map(|d| format!("SELECT {d} AS d")).collect::<Vec<_>>().join(" UNION ALL ");
    let tables = (0..digits).map(|i| format!("({digit}) AS t{i}")).collect::<Vec<_>>().join(" CROSS JOIN ");
    let sum = (0..digits).map(|i| format!("t{i}.d * {}", 10_u64.pow(i))).collect::<Vec<_>>().join(" + ");
    format!("SELECT CAST({sum} AS SIGNED) AS n FROM {tables}")
}

/// Queries of scans with this text that the server runs now.
async fn running(text: &str) -> usize {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE ? AND id <> CONNECTION_ID()";
    let text = format!("/* dxt %{text}%");
    let mut conn = server().await;
    conn.exec_first::<usize, _, _>(sql, (text,)).await.unwrap().unwrap()
}

async fn until(what: &str, seconds: u64, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "not after {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_type_arrives_whole() {
    let mut conn = server().await;
    conn.query_drop("DROP TABLE IF EXISTS cx_types").await.unwrap();
    conn.query_drop(
        "CREATE TABLE cx_types (ti TINYINT, tu TINYINT UNSIGNED, bu BIGINT UNSIGNED, bi BIGINT, y YEAR, b5 BIT(5), b64 BIT(64),
         de DECIMAL(65,30), f FLOAT, d DOUBLE, dt DATETIME(6), ts TIMESTAMP(6) NULL, da DATE, tm TIME(6), j JSON,
         e ENUM('b','ä'), s SET('x','y'), bl BLOB, tx LONGTEXT, l1 VARCHAR(10) CHARACTER SET latin1, b3 BINARY(3), g GEOMETRY)
         CHARACTER SET utf8mb4",
    )
    .await
    .unwrap();
    conn.query_drop("SET SESSION sql_mode = '', time_zone = '+05:30'").await.unwrap();
    conn.query_drop(
        r#"INSERT INTO cx_types VALUES (-128, 255, 18446744073709551615, -9223372036854775808, 2155, b'10101', b'1111111111111111111111111111111111111111111111111111111111111111',
         -12345678901234567890123456789012345.012345678901234567890123456789, 16777216, 1.7976931348623157e308,
         '9999-12-31 23:59:59.999999', '2020-01-01 05:30:00.000001', '1000-01-01', '-838:59:59.000000', '{"a": 1.10, "ä": "\\n"}',
         'ä', 'x,y', x'00ff', '€😀', 'ä', 'a', ST_GeomFromText('POINT(1 2)'))"#,
    )
    .await
    .unwrap();
    let sql = "SELECT ti, tu, bu, bi, y, b5, b64, de, f, d, CAST(dt AS CHAR), CAST(ts AS CHAR), CAST(da AS CHAR), CAST(tm AS CHAR), j, e, s,
         bl, tx, l1, b3, UNHEX(HEX(g)), CAST(NULL AS CHAR) FROM cx_types";
    let fields = [
        ("ti", DxtType::Int8),
        ("tu", DxtType::Uint8),
        ("bu", DxtType::Uint64),
        ("bi", DxtType::Int64),
        ("y", DxtType::Int16),
        ("b5", DxtType::Uint64),
        ("b64", DxtType::Uint64),
        ("de", DxtType::Decimal { precision: 65, scale: 30 }),
        ("f", DxtType::Float32),
        ("d", DxtType::Float64),
        ("dt", DxtType::Timestamp { precision: 6 }),
        ("ts", DxtType::TimestampTz { precision: 6 }),
        ("da", DxtType::Date),
        ("tm", DxtType::String),
        ("j", DxtType::Json),
        ("e", DxtType::String),
        ("s", DxtType::String),
        ("bl", DxtType::Binary),
        ("tx", DxtType::String),
        ("l1", DxtType::String),
        ("b3", DxtType::Binary),
        ("g", DxtType::Binary),
        ("n", DxtType::String),
    ];
    let values = row(sql, &fields).await;
    let values: Vec<&str> = values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    let expected = [
        "-128",
        "255",
        "18446744073709551615",
        "-9223372036854775808",
        "2155",
        "21",
        "18446744073709551615",
        "-12345678901234567890123456789012345.012345678901234567890123456789",
        "16777216.0",
        "1.7976931348623157e308",
        "9999-12-31T23:59:59.999999",
        "2020-01-01T00:00:00.000001Z",
        "1000-01-01",
        "-838:59:59.000000",
        r#"{"a": 1.10, "ä": "\n"}"#,
        "ä",
        "x,y",
        "00ff",
        "€😀",
        "ä",
        "610000",
        "000000000101000000000000000000f03f0000000000000040",
        "NULL",
    ];
    assert_eq!(values, expected);
}

#[tokio::test]
async fn a_value_that_does_not_fit_names_column_row_and_value() {
    let sql = "SELECT CAST('2024-01-01' AS CHAR) UNION ALL SELECT '0000-00-00'";
    let mut request = request(sql, &[]);
    request.fields = vec![DxtField::new("born", DxtType::Date).native("mysql", "date")];
    let error = batches(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Validation);
    let expected =
        "shop.t: column born (date), read as date, row 2 of the scan: the value '0000-00-00' does not fit into date";
    assert_eq!(error.message(), expected);
    assert!(error.hint().unwrap().contains("dtype: string"));
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_told_at_once_and_ends_the_query() {
    // The first rows fill the server's buffer and the driver's; the last one takes a minute.
    let first = format!("SELECT 'cx_x', REPEAT('x', 10000) FROM ({}) AS q", numbers(2));
    let sql = format!("({first}) UNION ALL (SELECT SLEEP(60), '')");
    let begin = Instant::now();
    let error = batches(request(&sql, &[("n", DxtType::Int64), ("x", DxtType::String)])).await.unwrap_err();
    assert!(error.message().contains("row 1 of the scan: the value 'cx_x' is not a value of type int64"), "{error:?}");
    settle().await;
    until("the query is gone", 5, async || running("cx_x").await == 0).await;
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_null_where_none_may_be_is_an_error_and_no_null() {
    let mut request = request("SELECT CAST(NULL AS SIGNED)", &[]);
    request.fields = vec![DxtField::new("id", DxtType::Int64).nullable(false)];
    let error = batches(request).await.unwrap_err();
    assert!(error.message().contains("column id, read as int64, row 1 of the scan: NULL"), "{error:?}");
}

#[tokio::test]
async fn columns_that_would_not_arrive_whole_are_refused_by_name() {
    let date = [("born", DxtType::Date)];
    let error = batches(request("SELECT CURRENT_DATE", &date)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMapping);
    assert!(error.message().contains("column born is a date or time, and must be asked for as text"), "{error:?}");
    let error = batches(request("SELECT 1, 2", &date)).await.unwrap_err();
    assert!(error.message().contains("the query gives 2 columns, not 1"), "{error:?}");
    // connectorx panics on these, which is told and not printed.
    let error = batches(request("SELECT ST_GeomFromText('POINT(1 2)')", &[("g", DxtType::Binary)])).await.unwrap_err();
    assert!(error.message().contains("connectorx does not take what the server sends"), "{error:?}");
    assert!(error.message().contains("GEOMETRY"), "{error:?}");
}

#[tokio::test]
async fn all_rows_arrive_in_batches_of_the_size_asked_for() {
    let batches = batches(request(&numbers(5), &[("n", DxtType::Int64)])).await.unwrap();
    let sum: i64 = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).sum();
    assert_eq!((batches.len(), sum), (100, 99_999 * 100_000 / 2));
    assert!(batches.iter().all(|batch| batch.num_rows() == 1000));
}

#[tokio::test]
async fn a_server_waits_for_a_reader_that_is_slow() {
    let sql = format!("SELECT n, REPEAT('cx_slow', 20) FROM ({}) AS q", numbers(6));
    let mut stream = scan(request(&sql, &[("n", DxtType::Int64), ("x", DxtType::String)])).unwrap();
    let mut rows = stream.next().await.unwrap().unwrap().num_rows();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(running("cx_slow").await, 1, "rows that nobody has asked for yet are still at the server");
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 1_000_000);
}

#[tokio::test]
async fn wide_rows_close_a_batch_by_their_bytes() {
    let sql = format!("SELECT REPEAT('x', 100000) FROM ({}) AS q", numbers(2));
    let batches = batches(request(&sql, &[("x", DxtType::String)])).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    assert!(batches.iter().all(|batch| batch.num_rows() <= 22), "batches of about 2 MB");
}

#[tokio::test]
async fn an_empty_result_ends_well() {
    let batches = batches(request("SELECT 1 FROM DUAL WHERE 1 = 0", &[("n", DxtType::Int64)])).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test]
async fn an_error_of_the_server_says_what_the_server_says() {
    let error = batches(request("SELECT x FROM cx_no_such_table", &[("x", DxtType::Int64)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Extractor);
    let said = error.message();
    assert!(said.starts_with("reading shop.t: ") && said.contains("cx_no_such_table"), "{said}");
    assert!(said.ends_with("(error 1146, SQLSTATE 42S02)"), "{said}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn an_error_in_mid_result_is_an_error_and_no_end() {
    // Rows before it have been sent already.
    let fails = "IF(n < 50000, n, (SELECT 1 UNION ALL SELECT 2))";
    let sql = format!("SELECT {fails} FROM ({}) AS q", numbers(5));
    let mut stream = scan(request(&sql, &[("n", DxtType::Int64)])).unwrap();
    let mut rows = 0;
    let error = loop {
        match stream.next().await.expect("an error before the end") {
            Ok(batch) => rows += batch.num_rows(),
            Err(error) => break Error::from(error),
        }
    };
    assert!(rows > 0, "some rows had come");
    assert!(error.message().contains("more than 1 row"), "{error:?}");
}

#[tokio::test]
async fn a_session_that_is_killed_in_mid_result_is_a_transient_error_and_no_end() {
    let sql = format!("SELECT n, 'cx_killed' FROM ({}) AS q", numbers(6));
    let mut stream = scan(request(&sql, &[("n", DxtType::Int64), ("x", DxtType::String)])).unwrap();
    stream.next().await.unwrap().unwrap();
    let mut conn = server().await;
    let find =
        "SELECT id FROM information_schema.processlist WHERE info LIKE '/* dxt %cx_killed%' AND id <> CONNECTION_ID()";
    let id: u64 = conn.query_first(find).await.unwrap().expect("the scan's session");
    conn.query_drop(format!("KILL CONNECTION {id}")).await.unwrap();
    let error = loop {
        match stream.next().await.expect("an error before the end") {
            Ok(_) => {}
            Err(error) => break Error::from(error),
        }
    };
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_dropped_stream_ends_a_query_that_is_sending() {
    let sql = format!("SELECT n, 'cx_sending' FROM ({}) AS q", numbers(7));
    let mut stream = scan(request(&sql, &[("n", DxtType::Int64), ("x", DxtType::String)])).unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(running("cx_sending").await, 1);
    drop(stream);
    settle().await;
    until("the query is gone", 5, async || running("cx_sending").await == 0).await;
}

#[tokio::test]
async fn a_dropped_stream_ends_a_query_that_is_silent_also_for_a_user_without_privileges() {
    let mut conn = server().await;
    for statement in [
        "DROP USER IF EXISTS cx_plain",
        "CREATE USER cx_plain IDENTIFIED BY 'plain'",
        "GRANT SELECT ON dxt.* TO cx_plain",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let mut request = request("SELECT SLEEP(60) AS cx_silent", &[("n", DxtType::Int64)]);
    let mut url = url::Url::parse(&request.url).unwrap();
    url.set_username("cx_plain").unwrap();
    url.set_password(Some("plain")).unwrap();
    request.url = url.to_string();
    let stream = scan(request).unwrap();
    until("the query runs", 10, async || running("cx_silent").await == 1).await;
    drop(stream);
    settle().await;
    until("the query is gone", 5, async || running("cx_silent").await == 0).await;
}

/// A way to the server that is cut after so many bytes of what it sends.
async fn cut_after(bytes: u64) -> u16 {
    let server = url::Url::parse(&url()).unwrap();
    let address = (server.host_str().unwrap().to_string(), server.port().unwrap_or(3306));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(address.clone()).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            let there = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut some = tokio::io::AsyncReadExt::take(from_server, bytes);
                tokio::io::copy(&mut some, &mut to_client).await.ok();
                there.abort();
            });
        }
    });
    port
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_result_is_a_transient_error_and_no_end() {
    let mut request = request(&numbers(6), &[("n", DxtType::Int64)]);
    let mut url = url::Url::parse(&request.url).unwrap();
    url.set_ip_host("127.0.0.1".parse().unwrap()).unwrap();
    url.set_port(Some(cut_after(1 << 20).await)).unwrap();
    request.url = url.to_string();
    let mut stream = scan(request).unwrap();
    let mut rows = 0;
    let error = loop {
        match stream.next().await.expect("an error before the end") {
            Ok(batch) => rows += batch.num_rows(),
            Err(error) => break Error::from(error),
        }
    };
    assert!(rows > 0 && rows < 1_000_000, "{rows}");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Connection, true), "{error:?}");
    assert!(error.message().starts_with("reading shop.t: the connection to the server broke: "), "{error:?}");
}

#[test]
fn a_scan_is_printed_without_its_url() {
    let mut request = request("SELECT 1", &[]);
    request.url = "mysql://me:hush@host/shop".into();
    assert!(!format!("{request:?}").contains("hush"));
}
