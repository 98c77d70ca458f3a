//! A stream's plans as text. Changes nothing: connections are asked for schemas and watermarks only.

use std::sync::Arc;

use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::sink::Watch;
use super::{Engine, RunInfo, once, params, physical_plan, stream, watermark};
use crate::buffer::{BufferId, BufferStaging, Header};
use crate::error::Result;
use crate::model::{BufferFormat, Pipeline, Stream, Verify};

/// The logical and physical plans of a stream, the SQL sent to its source (in the physical plan), the watermark as it
/// is now, and the statements for its target.
pub async fn explain(engine: &Arc<Engine>, pipeline: &Pipeline, item: &Stream, run: &RunInfo) -> Result<String> {
    let context = stream::context(engine, item);
    let loader = engine.loader(item).await?;
    let extract = stream::extract(engine, &context, item, Some(loader.as_ref()), run).await?;
    let from = extract.watermark.as_ref().map(|w| w.from.clone());
    let mut load = stream::load(item, loader.clone(), &extract.schema, from, run)?;
    let id = BufferId::new(&pipeline.name, &item.id, &run.run_id);
    load.spec.once = once(engine, item, &id, pipeline.buffer.format == BufferFormat::Parquet)?;
    let checksum = item.load.verify == Verify::Checksum;
    let mut text = format!("stream {}: {} -> {}\n", item.id, extract.source, loader.target());
    if let Some(mark) = &extract.watermark {
        let value = mark.from.as_ref().map_or("none, all is extracted".into(), watermark::text);
        text += &format!("watermark: {} of {} = {value}\n", mark.column, loader.target());
    }
    for (name, param) in params::of_stream(item, &run.params) {
        let dtype = param.dtype.map_or(String::new(), |dtype| format!(" ({dtype})"));
        text += &format!("variable: {name} = {}{dtype}\n", param.value.as_deref().unwrap_or_default());
    }
    if pipeline.buffer.format == BufferFormat::None {
        // As it will run: what is watched decides whether rows are looked at.
        let column = extract.watermark.as_ref().map(|w| w.column.clone());
        let plan = load.insert(extract.select, Watch { column, checksum, ..Watch::default() })?;
        text += &section(&context, "extract and load", &plan).await?;
    } else {
        let header = Header::new(extract.schema.clone(), extract.source.clone());
        let staging = Arc::new(BufferStaging::planned(id, header));
        let plan = stream::insert(extract.select, staging, Watch::default())?;
        text += &section(&context, "extract", &plan).await?;
        let empty = datafusion::datasource::MemTable::try_new(extract.schema.to_arrow(), vec![vec![]])?;
        let scan = stream::scan_buffer(&pipeline.name, &item.id, Arc::new(empty))?;
        text += &section(&context, "load", &load.insert(scan, Watch::default())?).await?;
    }
    text += "statements for the target:\n";
    for statement in loader.statements(&load.spec) {
        text += &format!("  {}\n", statement.trim().replace('\n', "\n  "));
    }
    Ok(text)
}

async fn section(
    context: &SessionContext,
    title: &str,
    plan: &datafusion::logical_expr::LogicalPlan,
) -> Result<String> {
    let optimized = context.state().optimize(plan)?;
    let physical = physical_plan(context, plan).await?.plan;
    let indent = |text: String| text.lines().map(|l| format!("  {l}\n")).collect::<String>();
    Ok(format!(
        "{title}, logical plan:\n{}{title}, physical plan:\n{}",
        indent(optimized.display_indent().to_string()),
        indent(displayable(physical.as_ref()).indent(false).to_string())
    ))
}
