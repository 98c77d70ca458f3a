//! What a load has to answer before it commits: are all rows there, each once, and, where that is asked for, as they were?

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use futures::StreamExt;

use super::checksum::{Checksums, Sums};
use super::sink::{Staging, Watch};
use super::summed::differs;
use crate::connector::{Load, LoadCounts};
use crate::error::{Error, ErrorKind, Result};

/// Compares what was written with what came out of the buffer, and with what the target holds now.
pub(super) async fn compare(written: &Sums, load: &mut dyn Load, staging: &dyn Staging, watch: &Watch) -> Result<()> {
    load.summed(written);
    if let Some(tally) = &watch.tally {
        tally.verify()?;
    }
    if !staging.rereads() {
        return Ok(());
    }
    let Some(mut rows) = load.staged().await? else {
        return Err(Error::new(ErrorKind::Loader, "the target does not give back what it holds")
            .with_hint("write `load: {verify: counts}`"));
    };
    let mut held = Checksums::new(staging.schema());
    while let Some(batch) = rows.next().await {
        held.add(&batch?)?;
    }
    match written.difference(&held.sums()) {
        None => Ok(()),
        Some(what) => Err(differs("what was written and what the target holds", &what)
            .with_hint("look for a trigger, rule or type of the target that changes values; nothing was committed")),
    }
}

/// What the source gave must have arrived, where nothing on the way adds or leaves out rows.
pub(super) fn arrived(plan: &Arc<dyn ExecutionPlan>, rows: u64) -> Result<()> {
    let mut node = plan;
    while let ([input], CardinalityEffect::Equal, None) =
        (node.children().as_slice(), node.cardinality_effect(), node.fetch())
    {
        node = input;
    }
    if !node.children().is_empty() || node.fetch().is_some() {
        return Ok(());
    }
    match node.metrics().and_then(|metrics| metrics.output_rows()) {
        Some(read) if read as u64 != rows => wrong(format!("{read} rows were read, {rows} arrived")),
        _ => Ok(()),
    }
}

fn wrong(what: String) -> Result<()> {
    let error = Error::new(ErrorKind::Validation, format!("the counts differ: {what}"));
    Err(error.with_hint("nothing was committed; run it again, and report it if it stays"))
}

/// Read = staged = what was expected, and every staged row is accounted for.
pub(super) fn verify(read: u64, expected: Option<u64>, counts: &LoadCounts) -> Result<()> {
    let accounted = counts.inserted + counts.updated + counts.unchanged + counts.dropped;
    match expected {
        Some(rows) if rows != read => wrong(format!("{rows} rows are in the buffer, {read} came out of it")),
        _ if counts.staged != read => wrong(format!("{read} rows were written, {} were staged", counts.staged)),
        _ if accounted != counts.staged => {
            wrong(format!("{} rows were staged, {accounted} are accounted for", counts.staged))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_or_doubled_row_is_seen_before_the_commit() {
        let counts = |staged, inserted, updated| LoadCounts { staged, inserted, updated, ..LoadCounts::default() };
        assert!(verify(3, Some(3), &counts(3, 2, 1)).is_ok());
        assert!(verify(2, Some(3), &counts(2, 2, 0)).unwrap_err().to_string().contains("3 rows are in the buffer"));
        assert!(verify(3, None, &counts(4, 4, 0)).unwrap_err().to_string().contains("3 rows were written, 4"));
        assert!(verify(3, None, &counts(3, 2, 0)).unwrap_err().to_string().contains("2 are accounted for"));
    }
}
