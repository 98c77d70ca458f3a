//! The PostgreSQL codec by itself: decode and encode of each type, in MB of binary COPY per second, and of the columns of
//! TPC-H's lineitem together. `cargo bench --manifest-path benches/Cargo.toml`, with a filter behind it: `-- decode/text`.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray,
    StringBuilder, Time32SecondArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::datatypes::{Int32Type, i256};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dxt::connector::TypeMapper;
use dxt::connector::postgres::PostgresTypes;
use dxt::connector::postgres::codec::{BinaryEncoder, CopyDecoder, CopyEncoder, TextEncoder};
use dxt::model::{DxtField, DxtSchema};

const ROWS: usize = 8192;

/// A column's name in the report, its native type, and values without a pattern that a cache could learn. Types that
/// travel as text (interval, unbounded numeric, enums and all others) are encoded as `text` is under `encode_text`, and
/// decoded as `text`.
type Column = (&'static str, &'static str, ArrayRef);

fn numbers() -> impl Iterator<Item = i64> {
    // A linear congruential generator: the same values in every run.
    std::iter::successors(Some(0x2545_F491_4F6C_DD1Di64), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|n| n >> 16)
    .take(ROWS)
}

fn texts(length: i64) -> StringArray {
    let text = |n: i64| -> String {
        let many = 1 + n.rem_euclid(length);
        (0..many).map(|i| char::from(b'a' + (n.wrapping_add(i * 7)).rem_euclid(26) as u8)).collect()
    };
    numbers().map(|n| Some(text(n))).collect()
}

fn decimals(p: u8, s: i8, below: i64) -> ArrayRef {
    let values = numbers().map(|n| Some(i128::from(n.rem_euclid(below))));
    Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(p, s).expect("a decimal"))
}

fn columns() -> Vec<Column> {
    let wide = numbers().map(|n| Some(i256::from_i128(i128::from(n) * i128::from(i64::MAX))));
    let wide = wide.collect::<Decimal256Array>().with_precision_and_scale(60, 5).expect("a decimal");
    let json = numbers().map(|n| Some(format!("{{\"id\": {n}, \"tags\": [\"a\", \"b\"]}}"))).collect::<StringArray>();
    let json: ArrayRef = Arc::new(json);
    let padded = texts(16).iter().map(|text| text.map(|text| format!("{text:16}"))).collect::<StringArray>();
    let seconds = |n: i64| (n / 1_000_000 % 86_400) as i32;
    let mut words = ListBuilder::new(StringBuilder::new());
    texts(12).iter().for_each(|text| words.append_value([text, None, text]));
    let bytes: Vec<Vec<u8>> = numbers().map(|n| n.to_be_bytes().repeat(4)).collect();
    let uuids = numbers().map(|n| [n.to_be_bytes(), n.to_le_bytes()].concat());
    let lists = numbers().map(|n| Some(vec![Some(n as i32), None, Some(7), Some((n >> 8) as i32)]));
    let stamps = || numbers().map(|n| n.rem_euclid(2_000_000_000_000_000));
    let half = numbers().map(|n| (n % 2 == 0).then_some(n)).collect::<Int64Array>();
    vec![
        ("bool", "boolean", Arc::new(BooleanArray::from_iter(numbers().map(|n| Some(n & 1 == 1))))),
        ("int2", "smallint", Arc::new(Int16Array::from_iter_values(numbers().map(|n| n as i16)))),
        ("int4", "integer", Arc::new(Int32Array::from_iter_values(numbers().map(|n| n as i32)))),
        ("int8", "bigint", Arc::new(Int64Array::from_iter_values(numbers()))),
        ("int8_half_null", "bigint", Arc::new(half)),
        ("float4", "real", Arc::new(Float32Array::from_iter_values(numbers().map(|n| n as f32)))),
        ("float8", "double precision", Arc::new(Float64Array::from_iter_values(numbers().map(|n| n as f64)))),
        ("numeric_15_2", "numeric(15,2)", decimals(15, 2, 10_000_000)),
        ("numeric_38_10", "numeric(38,10)", decimals(38, 10, i64::MAX)),
        ("numeric_60_5", "numeric(60,5)", Arc::new(wide)),
        ("text_short", "text", Arc::new(texts(16))),
        ("text_long", "text", Arc::new(texts(400))),
        ("varchar", "character varying(44)", Arc::new(texts(44))),
        ("bytea", "bytea", Arc::new(BinaryArray::from_iter_values(bytes))),
        ("date", "date", Arc::new(Date32Array::from_iter_values(numbers().map(|n| n.rem_euclid(20_000) as i32)))),
        (
            "time",
            "time without time zone",
            Arc::new(Time64MicrosecondArray::from_iter_values(stamps().map(|n| n % 86_400_000_000))),
        ),
        ("timestamp", "timestamp without time zone", Arc::new(TimestampMicrosecondArray::from_iter_values(stamps()))),
        (
            "timestamptz",
            "timestamp with time zone",
            Arc::new(TimestampMicrosecondArray::from_iter_values(stamps()).with_timezone("UTC")),
        ),
        ("uuid", "uuid", Arc::new(FixedSizeBinaryArray::try_from_iter(uuids).expect("16 bytes each"))),
        ("jsonb", "jsonb", json.clone()),
        ("json", "json", json.clone()),
        ("oid", "oid", Arc::new(UInt32Array::from_iter_values(numbers().map(|n| n as u32)))),
        ("char", "character(16)", Arc::new(padded)),
        ("name", "name", Arc::new(texts(16))),
        ("time_0", "time(0) without time zone", Arc::new(Time32SecondArray::from_iter_values(stamps().map(seconds)))),
        (
            "timestamp_3",
            "timestamp(3) without time zone",
            Arc::new(TimestampMillisecondArray::from_iter_values(stamps().map(|n| n / 1_000))),
        ),
        ("int4_array", "integer[]", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("text_array", "text[]", Arc::new(words.finish())),
    ]
}

fn lineitem() -> Vec<Column> {
    let int = |below: i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(numbers().map(move |n| n.rem_euclid(below))))
    };
    let word = |native, length| -> Column { ("", native, Arc::new(texts(length))) };
    let date = || -> Column {
        ("", "date", Arc::new(Date32Array::from_iter_values(numbers().map(|n| 8_000 + n.rem_euclid(2_500) as i32))))
    };
    let mut all = vec![("", "bigint", int(6_000_000)), ("", "bigint", int(200_000)), ("", "bigint", int(10_000))];
    all.push(("", "integer", Arc::new(Int32Array::from_iter_values(numbers().map(|n| n.rem_euclid(7) as i32)))));
    all.extend([5_000, 10_000_000, 11, 9].map(|below| ("", "numeric(15,2)", decimals(15, 2, below))));
    all.extend([word("character(1)", 1), word("character(1)", 1), date(), date(), date()]);
    all.extend([
        word("character varying(25)", 25),
        word("character varying(10)", 10),
        word("character varying(44)", 44),
    ]);
    all
}

/// The fields of columns, and a batch of them.
fn batch(columns: &[Column]) -> (Vec<DxtField>, RecordBatch) {
    let field = |(index, (_, native, _)): (usize, &Column)| {
        let dtype = PostgresTypes.from_native(native).expect("a type");
        DxtField::new(format!("c{index}"), dtype).native("postgres", *native)
    };
    let fields: Vec<DxtField> = columns.iter().enumerate().map(field).collect();
    let schema = DxtSchema::new(fields.clone()).to_arrow();
    let arrays = columns.iter().map(|(_, _, array)| array.clone()).collect();
    (fields, RecordBatch::try_new(schema, arrays).expect("a batch"))
}

fn encode(encoder: &mut dyn CopyEncoder, batch: &RecordBatch) -> BytesMut {
    let mut out = BytesMut::new();
    encoder.encode(batch, &mut out).expect("values that fit");
    encoder.finish(&mut out);
    out
}

fn decode(fields: &[DxtField], wire: &Bytes) -> usize {
    let mut decoder = CopyDecoder::new(fields, ROWS).expect("a decoder");
    let mut rows = 0;
    // In pieces as they come from a socket.
    for from in (0..wire.len()).step_by(64 << 10) {
        decoder.push(wire.slice(from..wire.len().min(from + (64 << 10))));
        while let Some(batch) = decoder.next_batch().expect("a COPY") {
            rows += batch.num_rows();
        }
    }
    rows + decoder.finish().expect("its end").map_or(0, |batch| batch.num_rows())
}

fn measure(criterion: &mut Criterion, name: &str, columns: &[Column]) {
    let (fields, batch) = batch(columns);
    let binary = || BinaryEncoder::new(&fields).expect("a binary form");
    let wire = encode(&mut binary(), &batch).freeze();
    assert_eq!(decode(&fields, &wire), ROWS);
    let bytes = Throughput::Bytes(wire.len() as u64);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(bytes.clone());
    group.bench_function(name, |b| b.iter(|| decode(black_box(&fields), black_box(&wire))));
    group.finish();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(bytes.clone());
    group.bench_function(name, |b| b.iter(|| encode(&mut binary(), black_box(&batch))));
    group.finish();
    // As text, by the same bytes: what it costs more to send the same rows so.
    let mut group = criterion.benchmark_group("encode_text");
    group.throughput(bytes);
    group.bench_function(name, |b| b.iter(|| encode(&mut TextEncoder::new(&fields), black_box(&batch))));
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    for column in columns() {
        measure(criterion, column.0, std::slice::from_ref(&column));
    }
    measure(criterion, "lineitem", &lineitem());
}

criterion_group!(benches, codec);
criterion_main!(benches);
