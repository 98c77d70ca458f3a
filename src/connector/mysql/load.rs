//! One load in flight: a transaction on a session of its own, which breaks off with it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::{StreamExt, stream};

use super::aside::sweep;
use super::catalog::{Relation, has_rows};
use super::client::Session;
use super::config::Settings;
use super::decode::Decoder;
use super::error::shorten;
use super::sink::{MysqlLoader, check, greatest};
use super::statements::{BEGIN, Plan};
use super::transfer::Transfer;
use super::upsert::Upsert;
use crate::connector::{Load, LoadCounts, LoadSpec, StagedRows, filled_meanwhile};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::DxtField;

/// Rows of a batch that is read back, at most.
const BATCH_ROWS: usize = 8192;
/// For a table whose session is being ended.
const BRIEFLY: &str = "SET SESSION lock_wait_timeout = 5";
/// Seconds of waiting for another load before the log says so.
const SOON: u64 = 5;

/// A load. Dropped before its commit, it rolls back.
pub(super) struct MysqlLoad {
    /// The target with its connection, for errors.
    label: String,
    settings: Arc<Settings>,
    plan: Plan,
    transfer: Transfer,
    counts: LoadCounts,
    /// Whether the ledger has it already.
    already: bool,
    /// Whether the ledger can be used.
    guarded: bool,
    sealed: bool,
    /// Whether a step has begun and not ended, as one that is dropped in its middle.
    within: bool,
}

impl MysqlLoad {
    /// Waits for other loads, looks again at what may have changed, makes what commits by itself, begins the transaction,
    /// and asks the ledger.
    pub(super) async fn begin(mut session: Session, loader: &MysqlLoader, spec: &LoadSpec) -> Result<Self> {
        let name = &loader.name;
        fault::point("mysql.begin");
        // By the options alone: what the target is, is asked when nobody else changes it.
        let first = Plan::new(name, loader.relation.as_ref(), spec, session.server())?;
        session.run(&first.bound(), "bounding the wait for locks").await?;
        turn(&mut session, &first).await?;
        fault::point("mysql.locked");
        sweep(&mut session, name).await?;
        let found = Relation::find(&mut session, name).await?;
        check(found.as_ref(), spec)?;
        let plan = Plan::new(name, found.as_ref(), spec, session.server())?;
        let guarded = match &plan.ledger {
            Some(ledger) => ledger.prepare(&mut session, &loader.label).await?,
            None => false,
        };
        let already = match &plan.ledger {
            Some(ledger) if guarded => ledger.has(&mut session).await?,
            _ => false,
        };
        if !already {
            expect_watermark(&mut session, found.as_ref(), spec).await?;
            if let Some(found) = found.as_ref().filter(|_| spec.expect_empty)
                && has_rows(&mut session, &found.name).await?
            {
                return Err(filled_meanwhile());
            }
        }
        let mut counts = LoadCounts::default();
        if !already {
            counts.deleted = match start(&mut session, &plan, found.as_ref(), spec).await {
                Ok(deleted) => deleted,
                Err(error) => {
                    if let Some(aside) = &plan.aside {
                        session.run("ROLLBACK", "rolling back").await?;
                        aside.remove(&mut session).await;
                    }
                    return Err(error);
                }
            };
        }
        let transfer = Transfer::new(session, &plan).await?;
        fault::point("mysql.prepared");
        Ok(Self {
            label: loader.label.clone(),
            settings: loader.settings.clone(),
            plan,
            transfer,
            counts,
            already,
            guarded,
            sealed: false,
            within: false,
        })
    }

    fn during(&self, error: Error) -> Error {
        error.context(format!("target {}", self.label))
    }

    async fn try_write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.sealed {
            return Err(Error::new(ErrorKind::Loader, "the load is sealed already"));
        }
        self.transfer.write(batch).await?;
        self.counts.staged += batch.num_rows() as u64;
        Ok(())
    }

    async fn try_staged(&mut self) -> Result<Option<StagedRows<'_>>> {
        const DOING: &str = "reading back what is staged";
        let Some(sql) = &self.plan.reread else { return Ok(None) };
        let fields: Vec<DxtField> = self.plan.columns.iter().map(|column| column.field.clone()).collect();
        let rows = self.transfer.session().await?.stream(sql, DOING).await?;
        let decoder = Decoder::new(&fields);
        let batches = stream::try_unfold((rows, decoder, false), async |(mut rows, mut decoder, ended)| {
            if ended {
                return Ok(None);
            }
            while decoder.rows() < BATCH_ROWS {
                match rows.next().await? {
                    Some(row) => decoder.push(row)?,
                    None => {
                        let last = decoder.rows() > 0;
                        let batch = decoder.finish()?;
                        return Ok(last.then_some((batch, (rows, decoder, true))));
                    }
                }
            }
            let batch = decoder.finish()?;
            Ok(Some((batch, (rows, decoder, false))))
        });
        Ok(Some(batches.boxed()))
    }

    async fn try_seal(&mut self) -> Result<LoadCounts> {
        if self.sealed {
            return Err(Error::new(ErrorKind::Loader, "the load is sealed already"));
        }
        let session = self.transfer.session().await?;
        fault::point("mysql.written");
        match &self.plan.merge {
            Some(upsert) => merge(session, upsert, &mut self.counts).await?,
            None => self.counts.inserted = self.counts.staged,
        }
        fault::point("mysql.merged");
        if let Some(ledger) = self.plan.ledger.as_ref().filter(|_| self.guarded) {
            session.run(&ledger.enter(self.counts.staged), "writing into the ledger of loads").await?;
        }
        self.counts.bytes = self.transfer.bytes;
        self.sealed = true;
        fault::point("mysql.sealed");
        Ok(self.counts)
    }

    async fn try_commit(self) -> Result<()> {
        let Self { plan, transfer, sealed, .. } = self;
        if !sealed {
            return Err(Error::new(ErrorKind::Loader, "a load has to be sealed before its commit"));
        }
        let Some(mut session) = transfer.into_session() else {
            return Err(Error::new(ErrorKind::Loader, "the load has failed already"));
        };
        let mut done = session.commit().await;
        if let Some(aside) = &plan.aside {
            match done {
                Ok(()) => done = aside.place(&mut session).await,
                Err(ref error) if error.kind() != ErrorKind::Connection => aside.remove(&mut session).await,
                Err(_) => {}
            }
        }
        session.close().await;
        done
    }
}

/// Waits until no other load of dxt writes into the target.
async fn turn(session: &mut Session, plan: &Plan) -> Result<()> {
    const DOING: &str = "waiting for other loads of the target";
    let patience = plan.options.patience();
    // The server waits for it in its own time, which is no silence.
    if session.value::<Option<i64>>(&plan.turn(SOON.min(patience)), DOING).await? == Some(1) {
        return Ok(());
    }
    tracing::warn!("another load of the target is at work: waiting for it");
    let left = patience.saturating_sub(SOON);
    if left > 0 && session.value::<Option<i64>>(&plan.turn(left), DOING).await? == Some(1) {
        return Ok(());
    }
    let what = format!("{DOING}: one is at work for more than {patience} s");
    Err(Error::new(ErrorKind::Loader, what)
        .with_hint("run it again when that is done, or raise `lock_timeout` in the load's options"))
}

/// Makes the tables that the load needs beside the target, begins the transaction, and deletes the rows that are to be
/// replaced, which it counts.
async fn start(session: &mut Session, plan: &Plan, found: Option<&Relation>, spec: &LoadSpec) -> Result<u64> {
    if let Some(aside) = &plan.aside {
        aside.make(session).await?;
    }
    for sql in plan.merge.iter().flat_map(Upsert::make) {
        session.run(&sql, "making the staging table").await?;
    }
    session.run(BEGIN, "beginning the transaction").await?;
    // Again, of the state that the transaction sees: who is no load of dxt does not wait for its turn.
    expect_watermark(session, found, spec).await?;
    let (Some(empty), Some(found)) = (&plan.empty, found) else { return Ok(0) };
    let deleted = session.run(empty, "deleting the old rows").await?.rows;
    fault::point("mysql.emptied");
    if has_rows(session, &found.name).await? {
        let error = Error::new(ErrorKind::Loader, "deleting the old rows: some are left");
        return Err(error.with_hint("somebody else writes to the target, or a trigger of it does"));
    }
    Ok(deleted)
}

/// The watermark must be what the extract took: another load may have moved it since.
async fn expect_watermark(session: &mut Session, found: Option<&Relation>, spec: &LoadSpec) -> Result<()> {
    let (Some(expected), Some(column)) = (&spec.expected_watermark, &spec.watermark) else {
        return Ok(());
    };
    let now = match found {
        Some(found) => greatest(session, found, column).await?,
        None => None,
    };
    let same = match (&now, expected) {
        (Some(now), Some(expected)) => {
            now == expected || expected.cast_to(&now.data_type()).is_ok_and(|expected| expected == *now)
        }
        (now, expected) => now.is_none() && expected.is_none(),
    };
    if same {
        return Ok(());
    }
    let what = format!("another load has moved the watermark of {column} since this one read it");
    Err(Error::new(ErrorKind::Loader, what).with_hint("run it again: it will start from the new watermark"))
}

fn same(what: &str, rows: u64, wanted: u64) -> Result<()> {
    if rows == wanted {
        return Ok(());
    }
    let what = format!("{what} {rows} rows of {wanted}");
    Err(Error::new(ErrorKind::Validation, what)
        .with_hint("look for a trigger of the target that drops rows, and for others that write to it meanwhile"))
}

/// Merges the staging table into the target, and counts.
async fn merge(session: &mut Session, upsert: &Upsert, counts: &mut LoadCounts) -> Result<()> {
    const KEYS: &str = "looking for rows of one key";
    let duplicates: Vec<(Option<String>,)> = session.rows(&upsert.duplicates, KEYS).await?;
    if !duplicates.is_empty() {
        const HINT: &str = "make the keys name a row, or set extract's `watermark_field`";
        match &upsert.losers {
            None => {
                let why = "several rows of the load share it, and there is no watermark to choose by";
                return Err(refused(&duplicates, why, HINT));
            }
            Some(losers) => {
                let tied: Vec<(Option<String>,)> = session.rows(&upsert.tied, KEYS).await?;
                if !tied.is_empty() {
                    return Err(refused(&tied, "several rows of the load share it and the greatest watermark", HINT));
                }
                session.run(&losers.note, "choosing by the watermark").await?;
                counts.dropped = session.run(&losers.drop, "choosing by the watermark").await?.rows;
            }
        }
    }
    if let Some(ambiguous) = &upsert.ambiguous {
        let found: Vec<(Option<String>,)> = session.rows(ambiguous, KEYS).await?;
        if !found.is_empty() {
            let hint = "make `upsert_keys` name one row of the target, and a unique key of them";
            return Err(refused(&found, "several rows of the target share it", hint));
        }
    }
    counts.unchanged = session.run(&upsert.unchanged, "comparing with the target").await?.rows;
    fault::point("mysql.compared");
    let left = counts.staged - counts.dropped - counts.unchanged;
    let updated = session.run(&upsert.update, "updating").await?;
    kept(session, "updating", updated.warnings).await?;
    counts.updated = updated.rows;
    fault::point("mysql.updated");
    same("the update changed", session.run(&upsert.matched, "counting").await?.rows, counts.updated)?;
    let inserted = session.run(&upsert.insert, "inserting").await?;
    kept(session, "inserting", inserted.warnings).await?;
    counts.inserted = inserted.rows;
    same("the insert wrote", counts.inserted + counts.updated, left)
}

/// Values are in the target's own types already: that they change on their way into it is no matter of a warning.
async fn kept(session: &mut Session, doing: &str, warnings: u16) -> Result<()> {
    if warnings == 0 {
        return Ok(());
    }
    let first = session.warnings().await?.into_iter().next().unwrap_or_default();
    let what = format!("{doing}: the server would not keep a value as it is: {first}");
    Err(Error::new(ErrorKind::Validation, what).with_hint("look for a trigger of the target that changes values"))
}

fn refused(keys: &[(Option<String>,)], why: &str, hint: &str) -> Error {
    let keys: Vec<String> = keys.iter().map(|(key,)| format!("({})", shown(key.as_deref()))).collect();
    Error::new(ErrorKind::Validation, format!("key {}: {why}", keys.join(" and "))).with_hint(hint)
}

fn shown(key: Option<&str>) -> String {
    shorten(key.unwrap_or_default()).trim_matches('`').to_string()
}

#[async_trait]
impl Load for MysqlLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.within = true;
        let done = self.try_write(&batch).await;
        self.within = false;
        done.map_err(|e| self.during(e))
    }

    fn already_loaded(&self) -> bool {
        self.already
    }

    async fn staged(&mut self) -> Result<Option<StagedRows<'_>>> {
        let label = self.label.clone();
        self.try_staged().await.map_err(|e| e.context(format!("target {label}")))
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        self.within = true;
        let sealed = self.try_seal().await;
        self.within = false;
        sealed.map_err(|e| self.during(e))
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let label = self.label.clone();
        fault::point("mysql.commit.before");
        let done = self.try_commit().await;
        fault::point("mysql.commit.after");
        done.map_err(|e| e.context(format!("target {label}")))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { plan, settings, mut transfer, within, already, .. } = *self;
        if within {
            // A ROLLBACK would wait for the statement that runs; the end of the session ends it.
            drop(transfer);
            if let Some(aside) = plan.aside.filter(|_| !already)
                && let Ok(mut session) = Session::open(&settings, ErrorKind::Loader).await
                && session.run(BRIEFLY, "bounding the wait for locks").await.is_ok()
            {
                aside.remove(&mut session).await;
                session.close().await;
            }
            return Ok(());
        }
        transfer.discard();
        // A chunk that is on its way is waited for: the session is not free before.
        let _ = transfer.session().await;
        let Some(mut session) = transfer.into_session() else { return Ok(()) };
        match plan.aside.filter(|_| !already) {
            None => session.roll_back().await,
            Some(aside) => {
                if session.run("ROLLBACK", "rolling back").await.is_ok() {
                    aside.remove(&mut session).await;
                    session.close().await;
                }
            }
        }
        Ok(())
    }
}
