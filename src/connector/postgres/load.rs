//! One load in flight: a transaction on a connection of its own, which breaks off with it.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use async_trait::async_trait;
use bytes::BytesMut;
use futures::{SinkExt, StreamExt, stream};
use tokio_postgres::Row;

use super::catalog::{Relation, get};
use super::client::Session;
use super::codec::{CopyDecoder, CopyEncoder, FrameWriter, encoder, shorten};
use super::dialect::PostgresDialect;
use super::ledger::Ledger;
use super::options::{LoadOptions, ReplaceStrategy};
use super::patience::{Patience, bound};
use super::sink::{PostgresLoader, check, greatest};
use super::snapshot::Snapshots;
use super::statements::{BEGIN, Plan, Way, copy_out, turn};
use super::types::{PgType, SYSTEM};
use super::upsert::{Cascade, DEFERRED, Gone, Merge, Upsert};
use super::watch::CopyIn;
use crate::connector::sql::Dialect;
use crate::connector::{Load, LoadCounts, LoadSpec, StagedRows, filled_meanwhile};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::{DxtField, DxtSchema, RelationName};

const WRITTEN: &str = include_str!("../../../sql/postgres/written.sql");
const MISSING_TYPES: &str = include_str!("../../../sql/postgres/missing_types.sql");
/// Bytes that are sent at once.
const PIECE: usize = 256 << 10;
/// Rows of a batch that is read back, at most.
const BATCH_ROWS: usize = 8192;

/// A load. Dropped before its commit, it rolls back.
pub(super) struct PostgresLoad {
    /// The target with its connection, for errors.
    label: String,
    database: String,
    snapshots: Arc<Snapshots>,
    /// The tables that it has written to, once it is sealed.
    written: Vec<RelationName>,
    session: Session,
    patience: Patience,
    plan: Plan,
    encoder: Box<dyn CopyEncoder>,
    /// `None` once it is finished.
    copy: Option<Pin<Box<CopyIn>>>,
    buffer: BytesMut,
    counts: LoadCounts,
    /// Whether the ledger has it already; then there is no COPY.
    already: bool,
    /// Whether the COPY has ended well.
    ended: bool,
    /// Where an entry has to be made.
    ledger: Option<Ledger>,
    sealed: bool,
    /// Whether a step has begun and not ended, as one that is dropped in its middle.
    within: bool,
}

impl PostgresLoad {
    /// Begins the transaction, takes the locks, looks again at what may have changed, asks the ledger, and starts the COPY.
    pub(super) async fn begin(session: Session, loader: &PostgresLoader, spec: &LoadSpec) -> Result<Self> {
        let name = &loader.name;
        let options = LoadOptions::read(&spec.options)?;
        let ledger = match &spec.once {
            Some(once) => {
                let ledger = Ledger::new(name, once)?;
                ledger.prepare(&session, &loader.label).await?.then_some(ledger)
            }
            None => None,
        };
        fault::point("postgres.begin");
        session.run(BEGIN, "beginning the transaction").await?;
        if let Some(bound) = bound(options.lock_timeout) {
            session.run(&bound, "bounding the wait for locks").await?;
        }
        let patience = Patience::new(loader.settings.clone(), &session).await?;
        let doing = "waiting for other loads of the target";
        patience.wait(doing, session.run(&turn(name), doing)).await?;
        let look = async || {
            let found = Relation::find(&session, name, &loader.settings.database).await?;
            let relation = match found {
                Some(relation) if options.replace == ReplaceStrategy::Swap => Some(relation.with_swap(&session).await?),
                found => found,
            };
            check(relation.as_ref(), spec)?;
            let plan = Plan::new(name, relation.as_ref(), spec)?;
            Ok::<_, Error>((relation, plan))
        };
        let (mut relation, mut plan) = look().await?;
        if let Some(lock) = &plan.lock {
            let doing = "locking the target";
            patience.wait(doing, session.run(lock, doing)).await?;
            (relation, plan) = look().await?;
        }
        fault::point("postgres.locked");
        let mut load = Self {
            label: loader.label.clone(),
            database: loader.database.clone(),
            snapshots: loader.snapshots.clone(),
            written: Vec::new(),
            session,
            patience,
            encoder: match loader.relayed {
                true => Box::new(FrameWriter::default()),
                false => encoder(&plan.columns),
            },
            plan,
            copy: None,
            buffer: BytesMut::new(),
            counts: LoadCounts::default(),
            already: false,
            ended: false,
            ledger,
            sealed: false,
            within: false,
        };
        if let Some(ledger) = &load.ledger {
            load.already = ledger.has(&load.session).await?;
        }
        if !load.already {
            load.open(relation.as_ref(), loader.relayed, spec).await?;
        }
        Ok(load)
    }

    /// Holds the target against what the load expects of it, makes or empties what has to be, and starts the COPY.
    async fn open(&mut self, relation: Option<&Relation>, relayed: bool, spec: &LoadSpec) -> Result<()> {
        let (session, plan) = (&self.session, &self.plan);
        if let Some(create) = &plan.create {
            expect_types(session, &spec.schema).await?;
            session.run(create, "creating the target").await?;
            fault::point("postgres.created");
        }
        if relayed {
            expect_natives(&plan.columns, spec)?;
        }
        expect_watermark(session, relation, spec).await?;
        if let Some(relation) = relation.filter(|_| spec.expect_empty) {
            expect_no_rows(session, &relation.name).await?;
        }
        match &plan.way {
            Way::Append => {}
            Way::Empty { empty, left } => {
                for sql in empty {
                    self.counts.deleted += session.execute(sql, "emptying the target").await?;
                }
                expect_empty(session, left).await?;
            }
            Way::Merge(upsert) => session.run(&upsert.stage, "making the staging table").await?,
            Way::Swap(swap) => swap.make(session).await?,
        }
        fault::point("postgres.prepared");
        let copy = session.copy_in(&plan.copy(self.encoder.format()), "starting COPY").await?;
        fault::point("postgres.copy.started");
        self.copy = Some(Box::pin(copy));
        self.buffer.reserve(2 * PIECE);
        Ok(())
    }

    fn during(&self, error: Error) -> Error {
        error.context(format!("target {}", self.label))
    }

    async fn send(&mut self) -> Result<()> {
        let piece = self.buffer.split().freeze();
        self.counts.bytes += piece.len() as u64;
        let Some(copy) = self.copy.as_mut() else {
            return Err(Error::new(ErrorKind::Loader, "the load is sealed already"));
        };
        match copy.send(piece).await {
            Ok(()) => Ok(()),
            Err(e) => Err(self.session.failed("sending rows", e).await),
        }
    }

    async fn try_write(&mut self, batch: &RecordBatch) -> Result<()> {
        // In slices, so that a large batch is never in memory twice.
        let step = rows_of(batch, PIECE).clamp(1, 1024);
        for from in (0..batch.num_rows()).step_by(step) {
            let slice = batch.slice(from, step.min(batch.num_rows() - from));
            fault::point("postgres.write");
            self.encoder.encode(&slice, &mut self.buffer)?;
            self.counts.staged += slice.num_rows() as u64;
            if self.buffer.len() >= PIECE {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Ends the COPY: every row is where it is staged.
    async fn end_copy(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.encoder.finish(&mut self.buffer);
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        let Some(mut copy) = self.copy.take() else {
            return Err(Error::new(ErrorKind::Loader, "the load is sealed already"));
        };
        let taken = match copy.as_mut().finish().await {
            Ok(rows) => rows,
            Err(e) => return Err(self.session.failed("COPY", e).await),
        };
        self.ended = true;
        fault::point("postgres.copied");
        same("the server took", taken, self.counts.staged)
    }

    async fn try_staged(&mut self) -> Result<Option<StagedRows<'_>>> {
        const DOING: &str = "reading back what is staged";
        self.end_copy().await?;
        let Some(sql) = &self.plan.reread else { return Ok(None) };
        let decoder = CopyDecoder::new(&self.plan.columns, BATCH_ROWS)?;
        let copy = Box::pin(self.session.copy_out(&copy_out(sql), DOING).await?);
        let rows = stream::try_unfold((copy, decoder, false), async |(mut copy, mut decoder, ended)| {
            if ended {
                return Ok(None);
            }
            loop {
                if let Some(batch) = decoder.next_batch()? {
                    return Ok(Some((batch, (copy, decoder, false))));
                }
                match copy.next().await {
                    Some(Ok(piece)) => decoder.push(piece),
                    Some(Err(e)) => return Err(self.session.failed(DOING, e).await),
                    None => return Ok(decoder.finish()?.map(|batch| (batch, (copy, decoder, true)))),
                }
            }
        });
        Ok(Some(rows.boxed()))
    }

    async fn try_seal(&mut self) -> Result<LoadCounts> {
        if self.sealed {
            return Err(Error::new(ErrorKind::Loader, "the load is sealed already"));
        }
        self.end_copy().await?;
        match &self.plan.way {
            Way::Append | Way::Empty { .. } => self.counts.inserted = self.counts.staged,
            Way::Merge(upsert) => {
                let merged = merge(&self.session, upsert, &mut self.counts);
                self.patience.wait("the merge", merged).await?;
            }
            Way::Swap(swap) => {
                self.counts.inserted = self.counts.staged;
                swap.place(&self.session, &self.patience).await?;
            }
        }
        fault::point("postgres.merged");
        for sql in &self.plan.finish {
            self.session.run(sql, "making the key and indexes of the target").await?;
        }
        if self.counts.staged > 0 {
            for sequence in &self.plan.sequences {
                sequence.run(&self.session).await?;
            }
        }
        if let Some(ledger) = &self.ledger {
            ledger.enter(&self.session, self.counts.staged).await?;
        }
        // What is deferred to the commit would fail there; here the counts are not out yet.
        self.session.run("SET CONSTRAINTS ALL IMMEDIATE", "checking constraints").await?;
        let rows = self.session.rows(WRITTEN, &[], "asking what was written to").await?;
        let table = |row: &Row| Ok(RelationName { parts: vec![get(row, 0)?, get(row, 1)?] });
        self.written = rows.iter().map(table).collect::<Result<_>>()?;
        self.sealed = true;
        fault::point("postgres.sealed");
        Ok(self.counts)
    }
}

/// How many of a batch's rows make so many bytes, about.
fn rows_of(batch: &RecordBatch, bytes: usize) -> usize {
    let size: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    bytes.saturating_mul(batch.num_rows()) / size.max(1)
}

/// A created target's types must be here: one of another database's own may not.
async fn expect_types(session: &Session, schema: &DxtSchema) -> Result<()> {
    const DOING: &str = "looking for the types of the fields";
    let own = |field: &&DxtField| PgType::parse(field.native_in(SYSTEM).unwrap_or("text")) == PgType::Other;
    let (names, types): (Vec<&str>, Vec<&str>) =
        schema.fields.iter().filter(own).map(|f| (f.name.as_str(), f.native_in(SYSTEM).unwrap_or_default())).unzip();
    if types.is_empty() {
        return Ok(());
    }
    let rows = session.rows(MISSING_TYPES, &[&names, &types], DOING).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (name, native): (String, String) = (get(row, 0)?, get(row, 1)?);
    let error =
        Error::new(ErrorKind::TypeMapping, format!("column {name}: this database has no columns of a type {native}"));
    Err(error.with_hint(format!(
        "create the type {native} here (or its extension, in that schema), or give the field {name} `target: {{type: text}}`"
    )))
}

/// Rows that are not decoded are stored as they are: the columns must be of the types that were compared.
fn expect_natives(columns: &[DxtField], spec: &LoadSpec) -> Result<()> {
    let changed = columns.iter().zip(&spec.schema.fields).find(|(column, field)| column.native != field.native);
    let Some((column, _)) = changed else { return Ok(()) };
    let native = column.native_in(SYSTEM).unwrap_or_default();
    let what = format!("column {} of the target has become {native} since it was looked at", column.name);
    Err(Error::new(ErrorKind::Schema, what).with_hint("run it again"))
}

/// Rows that have come since the load was planned: then nobody had to say `mode: append`, now somebody has.
async fn expect_no_rows(session: &Session, name: &RelationName) -> Result<()> {
    let sql = format!("SELECT EXISTS (SELECT FROM {})", PostgresDialect::default().relation(name));
    if !session.value::<bool>(&sql, &[], "looking for rows").await? {
        return Ok(());
    }
    Err(filled_meanwhile())
}

/// The watermark must be what the extract took: another load may have moved it since.
async fn expect_watermark(session: &Session, relation: Option<&Relation>, spec: &LoadSpec) -> Result<()> {
    let (Some(expected), Some(column)) = (&spec.expected_watermark, &spec.watermark) else {
        return Ok(());
    };
    let now = match relation {
        Some(relation) => greatest(session, relation, column).await?,
        None => None,
    };
    if now == *expected {
        return Ok(());
    }
    let what = format!("another load has moved the watermark of {column} since this one read it");
    Err(Error::new(ErrorKind::Loader, what).with_hint("run it again: it will start from the new watermark"))
}

/// A trigger or rule may keep rows from a DELETE, which says nothing of it: old rows would stay among the new.
async fn expect_empty(session: &Session, left: &str) -> Result<()> {
    if !session.value::<bool>(left, &[], "emptying the target").await? {
        return Ok(());
    }
    let what = "emptying the target: rows are left after the DELETE";
    Err(Error::new(ErrorKind::Loader, what).with_hint("look for a trigger or rule of the target that keeps rows"))
}

fn same(what: &str, rows: u64, wanted: u64) -> Result<()> {
    if rows == wanted {
        return Ok(());
    }
    let what = format!("{what} {rows} rows of {wanted}");
    Err(Error::new(ErrorKind::Validation, what).with_hint("look for a trigger or rule of the target that drops rows"))
}

/// Merges the staging table into the target, and counts.
async fn merge(session: &Session, upsert: &Upsert, counts: &mut LoadCounts) -> Result<()> {
    session.run("ANALYZE pg_temp.dxt_stage", "analysing what is staged").await?;
    null_keys(session, upsert).await?;
    let doing = "looking for rows of one key";
    if session.value::<bool>(&upsert.duplicates, &[], doing).await? {
        let why = match upsert.losers {
            Some(_) => "several rows of the load share it and the greatest watermark",
            None => "several rows of the load share it, and there is no watermark to choose by",
        };
        refuse_keys(session, &upsert.tied, why, "make the keys name a row, or set extract's `watermark_field`").await?;
        if let Some(losers) = &upsert.losers {
            counts.dropped = session.execute(losers, "choosing by the watermark").await?;
        }
    }
    if let Some(ambiguous) = &upsert.ambiguous {
        let hint = "make `upsert_keys` name one row of the target, and a unique index on them";
        refuse_keys(session, ambiguous, "several rows of the target share it", hint).await?;
    }
    if let Some(gone) = &upsert.gone {
        counts.deleted = delete_gone(session, gone).await?;
    }
    for Cascade { key, sql } in &upsert.moved {
        let why = format!("the load changes it, which would change rows by the foreign key {key}");
        refuse_keys(session, sql, &why, "change those rows first, or use `mode: upsert`").await?;
    }
    counts.unchanged = session.execute(&upsert.unchanged, "comparing with the target").await?;
    let rows = session.rows(&upsert.matched, &[], "counting").await?;
    let Some(row) = rows.first() else {
        return Err(Error::new(ErrorKind::Loader, "counting gave no row"));
    };
    let number = |index| get::<i64>(row, index).map(|n| u64::try_from(n).unwrap_or_default());
    let (left, matched) = (number(0)?, number(1)?);
    same("staged are", left + counts.unchanged + counts.dropped, counts.staged)?;
    match &upsert.merge {
        Merge::Conflict(sql) | Merge::Statement(sql) => {
            same("the upsert wrote", session.execute(sql, "upserting").await?, left)?;
        }
        Merge::UpdateInsert { update, insert } => {
            if let Some(update) = update {
                same("the update wrote", session.execute(update, "updating").await?, matched)?;
            }
            same("the insert wrote", session.execute(insert, "inserting").await?, left - matched)?;
        }
    }
    (counts.inserted, counts.updated) = (left - matched, matched);
    Ok(())
}

/// Deletes the rows that the load did not bring, and counts them.
async fn delete_gone(session: &Session, gone: &Gone) -> Result<u64> {
    session.run(DEFERRED, "deferring constraints").await?;
    let rows: i64 = session.value(&gone.count, &[], "counting what the load did not bring").await?;
    let rows = u64::try_from(rows).unwrap_or_default();
    if rows == 0 {
        return Ok(0);
    }
    for Cascade { key, sql } in &gone.cascades {
        let why =
            format!("the load did not bring it, and deleting it would delete or change rows by the foreign key {key}");
        refuse_keys(session, sql, &why, "delete those rows first, or use `mode: upsert`").await?;
    }
    let deleted = session.execute(&gone.delete, "deleting what the load did not bring").await?;
    same("the DELETE took", deleted, rows)?;
    Ok(rows)
}

async fn null_keys(session: &Session, upsert: &Upsert) -> Result<()> {
    let rows = session.rows(&upsert.null_keys, &[], "looking for NULL keys").await?;
    for row in &rows {
        for (index, key) in upsert.keys.iter().enumerate() {
            let nulls: i64 = get(row, index)?;
            if nulls > 0 {
                let what = format!("the key column {key} is NULL in {nulls} rows of the load");
                return Err(Error::new(ErrorKind::Validation, what)
                    .with_hint("filter them out with `criteria`, or name other `upsert_keys`"));
            }
        }
    }
    Ok(())
}

async fn refuse_keys(session: &Session, sql: &str, why: &str, hint: &str) -> Result<()> {
    let rows = session.rows(sql, &[], "looking for rows of one key").await?;
    let keys = rows.iter().map(|row| get::<String>(row, 0)).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = keys.iter().map(|key| format!("({})", shorten(key))).collect();
    let what = format!("key {}: {why}", keys.join(" and "));
    Err(Error::new(ErrorKind::Validation, what).with_hint(hint))
}

#[async_trait]
impl Load for PostgresLoad {
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
        let Self { label, database, snapshots, written, session, sealed, .. } = *self;
        fault::point("postgres.commit.before");
        let done = match sealed {
            true => session.commit().await,
            false => Err(Error::new(ErrorKind::Loader, "a load has to be sealed before its commit")),
        };
        fault::point("postgres.commit.after");
        // Also where it failed: it may have taken place.
        snapshots.loaded(&database, &written);
        done.map_err(|e| e.context(format!("target {label}")))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { session, copy, within, .. } = *self;
        // An open COPY fails by being dropped.
        drop(copy);
        // A ROLLBACK would wait for the statement that runs; the end of the session cancels it.
        match within {
            true => drop(session),
            false => session.roll_back().await,
        }
        Ok(())
    }
}
