//! Fields, buffers and streams without any server: what a buffer holds, and SQL over it.
//!
//! `cargo run --release --example without_a_server`

use std::sync::Arc;

use dxt::model::{FieldSource, LoadConfig, Source, Target};
use dxt::{Action, Buffer, Engine, FieldSpec, MemoryBuffer, Pipeline, Registry, RunOptions, Stream};

#[tokio::main]
async fn main() -> dxt::Result<()> {
    let folder = std::env::temp_dir().join(format!("dxt-without-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the example");
    std::fs::write(folder.join("orders.csv"), "id,price,quantity\n1,2.50,4\n2,10.00,1\n").expect("a file");

    // A field that is computed, and one that is taken as it is.
    let mut total = FieldSpec::new("total");
    total.source = Some(FieldSource::Expression("price * quantity".into()));
    let orders =
        Stream::new("orders", Source::file("files", "orders.csv"), Target::file("files", "out/orders.parquet"));
    let pipeline = Pipeline::builder("shop")
        .connection("files", &format!("file://{}", folder.display()))
        .stream(orders.with_fields([FieldSpec::new("id"), total]).with_load(LoadConfig::replace()))
        .build()?;

    // The first step only: the rows wait in a buffer in memory.
    let buffer: Arc<dyn Buffer> = Arc::new(MemoryBuffer::default());
    let options = |action| RunOptions { action, buffer: Some(buffer.clone()), ..RunOptions::default() };
    dxt::run(&pipeline, &options(Action::Extract)).await?;
    let committed = buffer.committed("shop", "orders").await?;
    println!("buffered: {} rows of {:?}", committed[0].manifest.rows, committed[0].manifest.header.schema.names());

    // A committed buffer is a table.
    let engine = Engine::new(&Registry::builtin(), &pipeline.connections, Some(buffer.clone()), &folder)?;
    let context = Arc::new(engine).context(1, 8192);
    context.sql("SELECT sum(total) AS total FROM buffer.shop.orders").await?.show().await?;

    // The second step, with the source gone.
    std::fs::remove_file(folder.join("orders.csv")).expect("the source goes");
    let result = dxt::run(&pipeline, &options(Action::Load)).await?;
    println!("loaded: {} rows", result.streams[0].rows_written);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    assert!(result.succeeded(), "{result:?}");
    Ok(())
}
