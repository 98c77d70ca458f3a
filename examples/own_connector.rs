//! A connector of one's own, registered beside those of dxt: `numbers://100` is a table of the numbers from 0.
//!
//! `cargo run --release --example own_connector`

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use dxt::connector::{Addressing, ServerInfo, TableExtractor};
use dxt::model::{ConnectionConfig, LoadConfig, Source, Target};
use dxt::{Capabilities, Connector, ExtractRequest, Extractor, Factory, Pipeline, Registry, Stream};

#[derive(Debug)]
struct Numbers(String, i64);

const CAN: Capabilities = Capabilities { addressing: Addressing::Tables, read: true, ..Capabilities::NONE };

#[async_trait]
impl Connector for Numbers {
    fn name(&self) -> &str {
        &self.0
    }
    fn capabilities(&self) -> &Capabilities {
        &CAN
    }
    async fn test(&self) -> dxt::Result<ServerInfo> {
        Ok(ServerInfo { version: "numbers 1".into(), location: "this process".into() })
    }
    async fn extractor(&self, _request: &ExtractRequest) -> dxt::Result<Arc<dyn Extractor>> {
        let numbers = Arc::new(Int64Array::from_iter_values(0..self.1)) as _;
        let batch = RecordBatch::try_from_iter([("n", numbers)]).expect("one column");
        Ok(Arc::new(TableExtractor::new(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))?))
    }
}

fn numbers(config: &ConnectionConfig) -> dxt::Result<Arc<dyn Connector>> {
    let url = config.url.as_ref().map_or("", |url| url.reveal());
    Ok(Arc::new(Numbers(config.name.clone(), url.trim_start_matches("numbers://").parse().unwrap_or(10))))
}

#[tokio::main]
async fn main() -> dxt::Result<()> {
    let mut registry = Registry::builtin();
    registry.register(Factory { kind: "numbers", schemes: &[], capabilities: CAN, make: Arc::new(numbers) });
    let file = std::env::temp_dir().join(format!("dxt-numbers-{}.parquet", std::process::id()));
    let stream = Stream::new("odd", Source::relation("n", "all")?, Target::file("out", file.to_string_lossy()));
    let builder = Pipeline::builder("own").connection("n", "numbers://100").connection("out", "file:///");
    let stream = stream.with_filter("n % 2 = 1").with_load(LoadConfig::replace());
    let pipeline = builder.stream(stream).build_with(&registry)?;
    let result = dxt::run(&pipeline, &dxt::RunOptions { registry, ..Default::default() }).await?;
    println!("{} rows", result.streams[0].rows_written);
    std::fs::remove_file(file).expect("the file goes");
    Ok(())
}
