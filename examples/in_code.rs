//! A pipeline built in code and run: a CSV file into a SQLite table, replaced each time.
//!
//! `cargo run --release --example in_code`

use dxt::model::{LoadConfig, Source, Target, TypeName};
use dxt::{FieldSpec, Pipeline, RunOptions, Stream};

#[tokio::main]
async fn main() -> dxt::Result<()> {
    let folder = std::env::temp_dir().join(format!("dxt-in-code-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the example");
    std::fs::write(folder.join("people.csv"), "id,name,height\n1,Ada,1.65\n2,Grace,1.68\n").expect("a file");

    let mut height = FieldSpec::new("height");
    height.dtype = Some(TypeName::Decimal);
    height.precision = Some(5);
    height.scale = Some(2);
    let fields = [FieldSpec::new("id"), FieldSpec::new("name"), height];
    let people = Stream::new("people", Source::file("files", "people.csv"), Target::relation("warehouse", "people")?);
    let pipeline = Pipeline::builder("in_code")
        .base_dir(&folder)
        .connection("files", &format!("file://{}", folder.display()))
        .connection("warehouse", "sqlite:///warehouse.db")
        .buffer(dxt::model::BufferConfig { location: folder.join("buffer"), ..Default::default() })
        .stream(people.with_fields(fields).with_load(LoadConfig::replace()))
        .build()?;

    let result = dxt::run(&pipeline, &RunOptions::default()).await?;
    for stream in &result.streams {
        println!("{}: {} rows, {}", stream.stream, stream.rows_written, stream.status.as_str());
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    assert!(result.succeeded(), "{result:?}");
    Ok(())
}
