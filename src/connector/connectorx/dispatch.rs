//! One query on a thread of its own, and its batches through a short channel to the plan.
//!
//! connectorx's own dispatcher asks for the metadata of a query by running it on some systems, reads on a shared pool of
//! threads, and panics or rounds where a value does not fit. dxt drives the same sources itself.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread;

use arrow::record_batch::RecordBatch;
use connectorx::data_order::DataOrder;
use connectorx::sources::{PartitionParser, Source, SourcePartition};
use connectorx::sql::CXQuery;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use tokio::sync::{mpsc, oneshot};

use super::Scan;
use super::destination::{Cell as Value, Destination};
use super::protocol::{ErrorOf, Extra, Fault, ParserOf, Protocol, TypeOf};
use crate::error::{Error, ErrorKind, Result};
use crate::model::DxtField;

/// Batches between the reading thread and the plan.
const CHANNEL_BATCHES: usize = 2;
/// The name of the threads that read.
const THREAD: &str = "dxt-connectorx";

/// Whether a scan has ended or is to end, seen from both sides.
#[derive(Debug, Default)]
pub(super) struct Progress {
    cancelled: AtomicBool,
    ended: AtomicBool,
}

impl Progress {
    /// Whether nobody takes the rows any more.
    pub(super) fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether the thread has let go of its connection.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Ends the query of a scan that nobody reads any more, at its server.
pub(super) type Interrupt = Box<dyn FnOnce(Arc<Progress>) + Send>;

/// Starts reading. `interrupt` is called where the stream is dropped before its end.
///
/// # Errors
/// Type mapping: a field has no builder. Pipeline: the system has no thread left.
pub(super) fn start<P: Protocol>(scan: Scan, interrupt: Option<Interrupt>) -> Result<SendableRecordBatchStream> {
    let destination = Destination::new(&scan.fields, scan.batch_size).map_err(|e| e.context(scan.doing()))?;
    let schema = destination.schema();
    let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
    let (end, outcome) = oneshot::channel();
    let progress = Arc::new(Progress::default());
    let doing = scan.doing();
    let reader = Reader { scan, destination, rows: 0, total: None, sender, progress: progress.clone() };
    let thread = thread::Builder::new().name(THREAD.into());
    let run = move || {
        let progress = reader.progress.clone();
        let result = guarded(|| reader.run::<P>());
        progress.ended.store(true, Ordering::Release);
        // Nobody there to hear it: then nobody misses it.
        let _ = end.send(result);
    };
    thread.spawn(run).map_err(|e| no_thread(&doing, e))?;
    let state = Reading { receiver, outcome: Some(outcome), doing, _cancel: CancelOnDrop { progress, interrupt } };
    let batches = stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

/// Tells the thread, and then the server, that nobody reads any more.
struct CancelOnDrop {
    progress: Arc<Progress>,
    interrupt: Option<Interrupt>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.progress.cancelled.store(true, Ordering::Release);
        if let Some(interrupt) = self.interrupt.take().filter(|_| !self.progress.ended()) {
            interrupt(self.progress.clone());
        }
    }
}

/// The plan's side of a scan.
struct Reading {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    outcome: Option<oneshot::Receiver<Result<()>>>,
    doing: String,
    _cancel: CancelOnDrop,
}

impl Reading {
    /// The next batch; after the last one, how the thread ended: only one that saw the source's end of rows ends well.
    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        if let Some(batch) = self.receiver.recv().await {
            return Some(batch.map_err(|error| DataFusionError::External(Box::new(error))));
        }
        let error = match self.outcome.take()?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => silent(&self.doing),
        };
        Some(Err(DataFusionError::External(Box::new(error))))
    }
}

thread_local! {
    /// Whether a panic on this thread is caught and told as an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic of connectorx's becomes an error, and is not printed.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // A thread that is going away has no value left, and tells it as any other does.
            if !GUARDED.try_with(Cell::get).unwrap_or(false) {
                previous(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let what = format!("connectorx does not take what the server sends: {}", said.unwrap_or("it panicked"));
    Error::new(ErrorKind::Extractor, what)
        .with_hint("find the column by leaving others out, and cast it to text in the source's SQL")
}

/// The source's side of a scan.
struct Reader {
    scan: Scan,
    destination: Destination,
    /// Rows read so far.
    rows: u64,
    /// Rows of the result, where it says so itself.
    total: Option<i64>,
    sender: mpsc::Sender<Result<RecordBatch>>,
    progress: Arc<Progress>,
}

impl Reader {
    /// Reads all rows; leaves early where nobody takes them any more.
    fn run<P: Protocol>(mut self) -> Result<()> {
        let result = self.read::<P>();
        if self.progress.cancelled() { Ok(()) } else { result }
    }

    fn read<P: Protocol>(&mut self) -> Result<()> {
        let doing = self.scan.doing();
        let failed = |scan: &Scan, error: ErrorOf<P>| P::failed(scan, &doing, error);
        let mut source = P::connect(&self.scan).map_err(|e| failed(&self.scan, e))?;
        if self.progress.cancelled() {
            return Ok(());
        }
        let query = |sql: &str| [CXQuery::Naked(sql.to_string())];
        source.set_data_order(DataOrder::RowMajor).map_err(|e| failed(&self.scan, e))?;
        source.set_queries(&query(P::probe(&self.scan.sql).as_deref().unwrap_or(&self.scan.sql)));
        source.fetch_metadata().map_err(|e| failed(&self.scan, e))?;
        let types = source.schema();
        self.check::<P>(&types)?;
        source.set_queries(&query(&self.scan.sql));
        if !self.scan.prelude.is_empty() {
            source.set_pre_execution_queries(Some(&self.scan.prelude));
        }
        let partitions = source.partition().map_err(|e| failed(&self.scan, e))?;
        for mut partition in partitions {
            if self.progress.cancelled() {
                return Ok(());
            }
            let mut parser = partition.parser().map_err(|e| failed(&self.scan, e))?;
            if let Err(error) = guarded(|| self.rows::<P>(&mut parser, &types)) {
                // Told at once: a driver may read all that is left of a result before it lets go of it.
                let _ = self.sender.blocking_send(Err(error));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the rows of a query that has begun.
    fn rows<P: Protocol>(&mut self, parser: &mut ParserOf<'_, P>, types: &[TypeOf<P>]) -> Result<()> {
        let doing = self.scan.doing();
        let failed = |scan: &Scan, error: ErrorOf<P>| P::failed(scan, &doing, error);
        loop {
            if self.progress.cancelled() {
                return Ok(());
            }
            let (rows, last) = parser.fetch_next().map_err(|e| failed(&self.scan, e))?;
            for _ in 0..rows {
                self.rows += 1;
                for (index, kind) in types.iter().enumerate() {
                    let (destination, total) = (&mut self.destination, &mut self.total);
                    let read = match index < self.scan.fields.len() {
                        true => P::read(parser, *kind, &mut |value| destination.put(index, value)),
                        false => P::read(parser, *kind, &mut |value| {
                            *total = number(value);
                            Ok(())
                        }),
                    };
                    match read {
                        Ok(()) => {}
                        Err(Fault::Source(error)) => return Err(failed(&self.scan, error)),
                        Err(Fault::Misfit(why)) => return Err(self.misfit(&self.scan.fields[index], &why)),
                    }
                }
                if self.destination.end_row() && !self.send()? {
                    return Ok(());
                }
            }
            if last {
                break;
            }
        }
        if P::EXTRA == Extra::Total {
            self.check_total::<P>()?;
        }
        if !self.destination.is_empty() {
            self.send()?;
        }
        Ok(())
    }

    /// Checks that as many rows came as the result has, of a driver that may lose some without a word.
    fn check_total<P: Protocol>(&self) -> Result<()> {
        let total = match P::count(&self.scan.sql).filter(|_| self.rows == 0) {
            Some(sql) => count::<P>(&self.scan, &sql)?,
            None => self.total,
        };
        if total == i64::try_from(self.rows).ok() {
            return Ok(());
        }
        let (doing, rows) = (self.scan.doing(), self.rows);
        let total = total.map_or("an unknown number".into(), |total| total.to_string());
        let what = format!("{doing}: {rows} rows came of {total}: the driver has stopped at one that it cannot decode");
        Err(Error::new(ErrorKind::Extractor, what).with_hint("look for text there that is not UTF-8"))
    }

    /// Hands a batch over. `false`: nobody takes it.
    fn send(&mut self) -> Result<bool> {
        let batch = self.destination.finish()?;
        Ok(self.sender.blocking_send(Ok(batch)).is_ok())
    }

    /// Checks the columns of the result against the fields that were asked for.
    fn check<P: Protocol>(&self, types: &[TypeOf<P>]) -> Result<()> {
        let (doing, fields) = (self.scan.doing(), &self.scan.fields);
        let expected = fields.len() + usize::from(P::EXTRA != Extra::None);
        if types.len() != expected {
            let what = format!("{doing}: the query gives {} columns, not {expected}", types.len());
            return Err(Error::new(ErrorKind::Schema, what));
        }
        for (field, kind) in fields.iter().zip(types) {
            if let Some(why) = P::refuses(*kind) {
                let what = format!("{doing}: column {}{} {why}", field.name, native(field));
                return Err(Error::new(ErrorKind::TypeMapping, what).with_hint("cast it to text in the source's SQL"));
            }
        }
        Ok(())
    }

    fn misfit(&self, field: &DxtField, why: &str) -> Error {
        let Scan { label, .. } = &self.scan;
        let (name, dtype, row) = (&field.name, &field.dtype, self.rows);
        let what = format!("{label}: column {name}{}, read as {dtype}, row {row} of the scan: {why}", native(field));
        let hint = "correct the value, or read the column as text: `dtype: string` for it in the stream's fields";
        Error::new(ErrorKind::Validation, what).with_hint(hint)
    }
}

fn number(value: Option<Value<'_>>) -> Option<i64> {
    match value {
        Some(Value::Int(number)) => Some(number),
        _ => None,
    }
}

/// Asks a query of one whole number, on a connection of its own.
fn count<P: Protocol>(scan: &Scan, sql: &str) -> Result<Option<i64>> {
    let doing = scan.doing();
    let run = || -> Result<Option<i64>, Fault<ErrorOf<P>>> {
        let mut source = P::connect(scan)?;
        source.set_queries(&[CXQuery::Naked(sql.to_string())]);
        source.fetch_metadata()?;
        let types = source.schema();
        let mut found = None;
        for mut partition in source.partition()? {
            let mut parser = partition.parser()?;
            let (rows, _) = parser.fetch_next()?;
            if let Some(kind) = types.first().filter(|_| rows > 0) {
                P::read(&mut parser, *kind, &mut |value| {
                    found = number(value);
                    Ok(())
                })?;
            }
        }
        Ok(found)
    };
    run().map_err(|fault| match fault {
        Fault::Source(error) => P::failed(scan, &doing, error),
        Fault::Misfit(why) => Error::new(ErrorKind::Extractor, format!("{doing}: its rows cannot be counted: {why}")),
    })
}

/// The names of a query's columns, and their native types as far as the driver tells them.
pub(super) async fn columns<P: Protocol>(scan: Scan) -> Result<Vec<(String, Option<&'static str>)>> {
    let doing = scan.doing();
    let (end, outcome) = oneshot::channel();
    let ask = move || -> Result<Vec<(String, Option<&'static str>)>> {
        let doing = scan.doing();
        let failed = |error| P::failed(&scan, &doing, error);
        let mut source = P::connect(&scan).map_err(failed)?;
        source.set_queries(&[CXQuery::Naked(P::probe(&scan.sql).unwrap_or_else(|| scan.sql.clone()))]);
        source.fetch_metadata().map_err(failed)?;
        Ok(source.names().into_iter().zip(source.schema().into_iter().map(P::native)).collect())
    };
    let run = move || {
        let _ = end.send(guarded(ask));
    };
    thread::Builder::new().name(THREAD.into()).spawn(run).map_err(|e| no_thread(&doing, e))?;
    outcome.await.unwrap_or_else(|_| Err(silent(&doing)))
}

fn no_thread(doing: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Pipeline, format!("{doing}: no thread can be started")).with_source(error)
}

fn silent(doing: &str) -> Error {
    Error::new(ErrorKind::Extractor, format!("{doing}: its thread has ended without a word"))
}

/// A field's native type in parentheses, where it is known.
fn native(field: &DxtField) -> String {
    field.native.as_ref().map(|native| format!(" ({})", native.name)).unwrap_or_default()
}
