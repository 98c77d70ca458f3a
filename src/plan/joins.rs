//! What the hash joins of a plan would hold in memory. They do not spill, so that a join is planned as one only where what
//! it holds should fit with room to spare.
//!
//! Estimates that may be too low are not relied upon: a filter is taken to keep every row, and a join to make as many rows
//! as its larger side has, if not more. What is left are guesses: of rows in text files, of joins of many with many, and of
//! what a server believes of its tables.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{JoinType, Statistics};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;

use crate::connector::sql::RemoteScanExec;

/// Bytes that a hash table has for a row, beside the row itself.
const ENTRY: usize = 24;
/// A text's length where nothing is known of it.
const TEXT: usize = 64;

/// Bytes that all hash joins of a plan hold together at most. `None` where that is not known.
pub fn hashed_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let here = match plan.downcast_ref::<HashJoinExec>() {
        Some(join) => {
            let rows = rows(join.left())?;
            // The batches that came in are made one, and for that time are there twice.
            let row = width(&join.left().schema(), rows.text).saturating_mul(2).saturating_add(ENTRY);
            rows.count.saturating_mul(row)
        }
        None => 0,
    };
    plan.children().into_iter().try_fold(here, |sum, child| Some(sum.saturating_add(hashed_bytes(child)?)))
}

/// About how many bytes a row of the widest scan within the plan takes.
pub fn widest(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below = plan.children().into_iter().map(widest).max();
    below.unwrap_or_else(|| width(&plan.schema(), rows(plan).map_or(TEXT, |rows| rows.text)))
}

/// The rows of a plan.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// How many there are at most.
    count: usize,
    /// Bytes of a value whose type has no fixed width, on average.
    text: usize,
}

fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<Rows> {
    let all = match plan.children().as_slice() {
        [] => scanned(plan),
        [input] => kept(plan, rows(input)?),
        [left, right] if !plan.is::<UnionExec>() => joined(plan, rows(left)?, rows(right)?),
        inputs if plan.is::<UnionExec>() => {
            let inputs = inputs.iter().map(|input| rows(input)).collect::<Option<Vec<_>>>()?;
            let count = inputs.iter().fold(0_usize, |sum, input| sum.saturating_add(input.count));
            Some(Rows { count, text: inputs.iter().map(|input| input.text).max().unwrap_or(TEXT) })
        }
        _ => None,
    }?;
    Some(Rows { count: plan.fetch().map_or(all.count, |most| most.min(all.count)), ..all })
}

fn scanned(plan: &Arc<dyn ExecutionPlan>) -> Option<Rows> {
    // A server that cannot say how large something is may have anything of it.
    if plan.downcast_ref::<RemoteScanExec>().is_some_and(|scan| !scan.is_sized()) {
        return None;
    }
    let known = estimate(plan)?;
    let count = *known.num_rows.get_value()?;
    let schema = plan.schema();
    let texts = schema.fields().iter().filter(|field| field.data_type().primitive_width().is_none()).count();
    let text = match known.total_byte_size.get_value() {
        Some(bytes) => (bytes / count.max(1)).saturating_sub(width(&schema, 0)).div_ceil(texts.max(1)),
        None => TEXT,
    };
    Some(Rows { count, text })
}

fn kept(plan: &Arc<dyn ExecutionPlan>, input: Rows) -> Option<Rows> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let groups = aggregate.group_expr();
        return Some(match groups.is_empty() {
            // One row for each part of the plan that runs at once.
            true => Rows { count: plan.properties().partitioning.partition_count(), ..input },
            // ROLLUP has several sets of groups.
            false => Rows { count: input.count.saturating_mul(groups.groups().len().max(1)), ..input },
        });
    }
    match plan.cardinality_effect() {
        CardinalityEffect::Equal | CardinalityEffect::LowerEqual => Some(input),
        CardinalityEffect::Unknown | CardinalityEffect::GreaterEqual => None,
    }
}

fn joined(plan: &Arc<dyn ExecutionPlan>, left: Rows, right: Rows) -> Option<Rows> {
    let hashed = plan.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let kind = hashed.or_else(|| plan.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type()));
    let count = match kind {
        Some(JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark) => left.count,
        Some(JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark) => right.count,
        Some(JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) => {
            let guessed = *estimate(plan)?.num_rows.get_value()?;
            let sum = if kind == Some(JoinType::Full) { left.count.saturating_add(right.count) } else { 0 };
            guessed.max(left.count).max(right.count).max(sum)
        }
        None if plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>() => left.count.saturating_mul(right.count),
        None => return None,
    };
    Some(Rows { count, text: left.text.max(right.text) })
}

fn estimate(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<Statistics>> {
    StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()
}

/// Bytes of a row, with values of `text` bytes where a type has no fixed width.
fn width(schema: &Schema, text: usize) -> usize {
    let of = |data_type: &DataType| data_type.primitive_width().unwrap_or(text);
    schema.fields().iter().map(|field| of(field.data_type())).fold(0, usize::saturating_add)
}
