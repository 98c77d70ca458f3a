//! A stream's plans, the SQL for each system, and the statements for its target. Changes nothing: connections are asked for
//! schemas and watermarks only, and where it is to be measured, the source for its rows.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use serde::Serialize;

use super::federate::federated;
use super::sink::Watch;
use super::{Engine, RunInfo, once, params, physical_plan, stream, watermark};
use crate::buffer::{BufferId, BufferStaging, Header};
use crate::connector::sql::RemoteScanExec;
use crate::error::Result;
use crate::model::{BufferFormat, Pipeline, Stream, Verify};

/// How plans are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanForm {
    /// A line for each node, further in than the one above it.
    #[default]
    Indent,
    /// Boxes, of the physical plan.
    Tree,
    /// Graphs in the language of Graphviz.
    Graphviz,
    /// Nested objects.
    Json,
}

/// What a stream will do.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    pub stream: String,
    /// `shop.public.orders`, or `query`.
    pub source: String,
    pub target: String,
    /// Where an incremental extract starts now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<WatermarkNow>,
    /// Variables of its SQL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<VariableNow>,
    /// Its plans, in the order in which they run.
    pub steps: Vec<Step>,
    /// The SQL that each system gets, in the order of the plan.
    pub sql: Vec<Sent>,
    /// DDL and DML for the target, in order.
    pub statements: Vec<String>,
    /// What the extract read, where it was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzed: Option<Analyzed>,
}

/// A watermark as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct WatermarkNow {
    /// The target's column.
    pub column: String,
    /// Its greatest value; none where all is extracted.
    pub value: Option<String>,
}

/// A variable and its value.
#[derive(Debug, Clone, Serialize)]
pub struct VariableNow {
    pub name: String,
    pub value: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
}

/// The plans of one step, as text or as nested objects.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// `extract`, `load`, or both at once.
    pub name: String,
    pub logical: serde_json::Value,
    pub physical: serde_json::Value,
}

/// One statement that a system gets.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// What it reads: `shop.public.orders`.
    pub source: String,
    pub sql: String,
    /// Whether the keys of a join's other side may be added to it when it runs.
    pub keys_follow: bool,
}

/// What an extract read when it was run, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Analyzed {
    pub fetched: Vec<Fetched>,
    /// Rows that the buffer would have got.
    pub rows: usize,
    pub seconds: f64,
}

/// Rows of one scan.
#[derive(Debug, Clone, Serialize)]
pub struct Fetched {
    pub source: String,
    pub rows: usize,
}

/// Explains a stream. `analyze`: its extract is run, and its rows are thrown away; the target is left alone.
///
/// # Errors
/// Those of planning, and of reading where it is run.
pub async fn explain(
    engine: &Arc<Engine>,
    pipeline: &Pipeline,
    item: &Stream,
    run: &RunInfo,
    form: PlanForm,
    analyze: bool,
) -> Result<Explained> {
    let context = stream::context(engine, item);
    let loader = engine.loader(item).await?;
    let extract = stream::extract(engine, &context, item, Some(loader.as_ref()), run).await?;
    let from = extract.watermark.as_ref().map(|w| w.from.clone());
    let mut load = stream::load(item, loader.clone(), &extract.schema, from, run)?;
    let id = BufferId::new(&pipeline.name, &item.id, &run.run_id);
    load.spec.once = once(engine, item, &id, pipeline.buffer.format == BufferFormat::Parquet)?;
    let checksum = item.load.verify == Verify::Checksum;
    let (analyzed, measured) = match analyze {
        true => {
            let (analyzed, plan) = analyzed(&context, &extract.select).await?;
            (Some(analyzed), Some(plan))
        }
        false => (None, None),
    };
    let watermark = extract
        .watermark
        .as_ref()
        .map(|mark| WatermarkNow { column: mark.column.clone(), value: mark.from.as_ref().map(watermark::text) });
    let mut steps = Vec::new();
    let mut sql = Vec::new();
    if pipeline.buffer.format == BufferFormat::None {
        // As it will run: what is watched decides whether rows are looked at.
        let column = extract.watermark.as_ref().map(|w| w.column.clone());
        let plan = load.insert(extract.select, Watch { column, checksum, ..Watch::default() })?;
        steps.push(step(&context, "extract and load", &plan, form, &mut sql).await?);
    } else {
        let header = Header::new(extract.schema.clone(), extract.source.clone());
        let staging = Arc::new(BufferStaging::planned(id, header));
        let plan = stream::insert(extract.select, staging, Watch::default())?;
        steps.push(step(&context, "extract", &plan, form, &mut sql).await?);
        let empty = datafusion::datasource::MemTable::try_new(extract.schema.to_arrow(), vec![vec![]])?;
        let scan = stream::scan_buffer(&pipeline.name, &item.id, Arc::new(empty))?;
        steps.push(step(&context, "load", &load.insert(scan, Watch::default())?, form, &mut sql).await?);
    }
    if let Some(plan) = measured {
        // What was sent, with the keys that were known by then.
        sql.clear();
        collect(&plan, &mut sql);
        let text = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string();
        steps.push(Step { name: "extract, as it ran".into(), logical: serde_json::Value::Null, physical: text.into() });
    }
    let variables = params::of_stream(item, &run.params).into_iter().map(|(name, param)| VariableNow {
        name: name.to_string(),
        value: param.value.clone(),
        dtype: param.dtype.as_ref().map(ToString::to_string),
    });
    Ok(Explained {
        stream: item.id.clone(),
        source: extract.source,
        target: loader.target(),
        watermark,
        variables: variables.collect(),
        steps,
        sql,
        statements: loader.statements(&load.spec).iter().map(|s| s.trim().to_string()).collect(),
        analyzed,
    })
}

async fn step(
    context: &SessionContext,
    name: &str,
    plan: &LogicalPlan,
    form: PlanForm,
    sql: &mut Vec<Sent>,
) -> Result<Step> {
    let state = context.state();
    let logical = federated(state.optimize(plan)?, state.config().batch_size())?;
    let physical = physical_plan(context, plan).await?.plan;
    collect(&physical, sql);
    let shown = displayable(physical.as_ref());
    let (logical, physical) = match form {
        PlanForm::Indent => (logical.display_indent().to_string().into(), shown.indent(false).to_string().into()),
        PlanForm::Tree => (logical.display_indent().to_string().into(), shown.tree_render().to_string().into()),
        PlanForm::Graphviz => (logical.display_graphviz().to_string().into(), shown.graphviz().to_string().into()),
        PlanForm::Json => {
            let text = logical.display_pg_json().to_string();
            (serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)), nested(&physical))
        }
    };
    Ok(Step { name: name.to_string(), logical, physical })
}

/// A physical plan as nested objects.
fn nested(plan: &Arc<dyn ExecutionPlan>) -> serde_json::Value {
    let details = displayable(plan.as_ref()).one_line().to_string();
    serde_json::json!({
        "node": plan.name(),
        "details": details.trim(),
        "inputs": plan.children().into_iter().map(nested).collect::<Vec<_>>(),
    })
}

/// The statements of all remote scans.
fn collect(plan: &Arc<dyn ExecutionPlan>, sql: &mut Vec<Sent>) {
    if let Some(scan) = plan.downcast_ref::<RemoteScanExec>() {
        let mut sent = scan.sent();
        let known = !sent.is_empty();
        if !known {
            sent = scan.queries().iter().map(|query| query.sql.clone()).collect();
        }
        let source = scan.source().label();
        let one = |sql| Sent { source: source.clone(), sql, keys_follow: !known && scan.narrows() };
        sql.extend(sent.into_iter().map(one));
    }
    plan.children().into_iter().for_each(|child| collect(child, sql));
}

/// Runs a plan and throws its rows away.
async fn analyzed(context: &SessionContext, select: &LogicalPlan) -> Result<(Analyzed, Arc<dyn ExecutionPlan>)> {
    let planned = physical_plan(context, select).await?;
    let started = std::time::Instant::now();
    let plan = planned.plan.clone();
    let mut stream = planned.rows()?;
    let mut rows = 0;
    while let Some(batch) = stream.try_next().await? {
        rows += batch.num_rows();
    }
    drop(stream);
    let mut fetched = Vec::new();
    fetches(&plan, None, &mut fetched);
    Ok((Analyzed { fetched, rows, seconds: started.elapsed().as_secs_f64() }, plan))
}

/// The rows of each scan. `label`: what a node above says that it is.
fn fetches(plan: &Arc<dyn ExecutionPlan>, label: Option<String>, fetched: &mut Vec<Fetched>) {
    let children = plan.children();
    let line = || displayable(plan.as_ref()).one_line().to_string().trim().to_string();
    if children.is_empty() {
        let source = match plan.downcast_ref::<RemoteScanExec>() {
            Some(scan) => scan.source().label(),
            None => label.unwrap_or_else(line),
        };
        let rows = plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        fetched.push(Fetched { source, rows });
        return;
    }
    let named = (plan.name() == "FileExec").then(|| line().trim_start_matches("FileExec: ").to_string());
    for child in children {
        fetches(child, named.clone().or_else(|| label.clone()), fetched);
    }
}

impl Explained {
    /// For people, with plans in the form that they were made in.
    pub fn text(&self) -> String {
        let mut text = format!("stream {}: {} -> {}\n", self.stream, self.source, self.target);
        if let Some(mark) = &self.watermark {
            let value = mark.value.as_deref().unwrap_or("none, all is extracted");
            text += &format!("watermark: {} of {} = {value}\n", mark.column, self.target);
        }
        for variable in &self.variables {
            let dtype = variable.dtype.as_ref().map_or(String::new(), |dtype| format!(" ({dtype})"));
            text +=
                &format!("variable: {} = {}{dtype}\n", variable.name, variable.value.as_deref().unwrap_or_default());
        }
        for step in &self.steps {
            for (which, plan) in [("logical", &step.logical), ("physical", &step.physical)] {
                if let serde_json::Value::String(plan) = plan {
                    text += &format!("{}, {which} plan:\n{}", step.name, indented(plan));
                }
            }
        }
        for sent in &self.sql {
            let keys = if sent.keys_follow { ", to which a join may add the keys it has found" } else { "" };
            text += &format!("SQL for {}{keys}:\n{}", sent.source, indented(&sent.sql));
        }
        text += &format!("statements for the target:\n{}", indented(&self.statements.join("\n")));
        if let Some(analyzed) = &self.analyzed {
            text += "rows fetched:\n";
            for fetched in &analyzed.fetched {
                text += &format!("  {} from {}\n", fetched.rows, fetched.source);
            }
            text += &format!("rows that came out: {} in {:.3} s\n", analyzed.rows, analyzed.seconds);
        }
        text
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
