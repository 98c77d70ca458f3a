//! `dxt sql`: a shell for SQL over connections, buffers and files.
//!
//! ```text
//! keys ─ input ─▶ text ─ script ─▶ statements ─ session ─▶ rows ─ display ─▶ output ─▶ terminal, pager, file
//! stdin ──────────┘           └──▶ commands ── describe, help, settings ─────┘
//! ```
//!
//! On a terminal an error is printed and the shell goes on; elsewhere the first error ends it. Ctrl-C ends the statement
//! that runs (`signals`). `lexer`, `clause`, `names` and `complete` know what Tab offers.

mod clause;
mod commands;
mod complete;
mod describe;
mod display;
mod history;
mod input;
mod keywords;
mod lexer;
mod names;
mod output;
mod script;
mod session;
mod signals;
mod terminal;

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::commands::Command;
use self::display::{View, interrupted, readable, say, show};
use self::input::{Prompt, Typed};
use self::names::Names;
use self::output::{Output, pager, unwritten};
use self::script::{Piece, Word, first, is_blank, pieces};
use self::session::{Outcome, Session, changes};
use self::signals::Signals;
use self::terminal::Terminal;
use super::args::{Global, RowFormat, SqlArgs};
use super::interrupt::{SIGINT, SIGTERM};
use super::query::{From, named_from};
use super::{FAILED, pressure, print};
use crate::buffer::ParquetBuffer;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::BufferFormat;
use crate::plan::statement::Access;

/// Files within files at most: more are a circle.
const DEPTH: usize = 16;

pub async fn run(args: SqlArgs, global: &Global) -> Result<u8> {
    let from = match (&args.pipeline, &args.project) {
        (Some(path), _) => From::Pipeline(path),
        (None, Some(folder)) => From::Project(folder),
        (None, None) => From::Here,
    };
    let named = named_from(&Registry::builtin(), from, &args.connection)?;
    let here =
        std::env::current_dir().during(ErrorKind::Configuration, || "the current folder cannot be read".into())?;
    // Those in memory are gone with their run.
    let buffers = match named.buffer_config.format {
        BufferFormat::Parquet => Some(Arc::new(ParquetBuffer::open(&named.buffer_config, &named.connections)?)),
        _ => None,
    };
    let (connections, buffer) = (named.connections, named.buffer_config);
    let resources = args.resources.resources();
    pressure::watch(&resources);
    let access = if args.write { Access::Write } else { Access::Read };
    let session = Session { connections, buffer, here: here.clone(), resources, access, lasting: Vec::new() };
    // What is wrong with a connection's settings is said before the first prompt.
    let names = Arc::new(Names::new(session.engine()?, buffers, &here, Handle::current())?);
    let terminal = Arc::new(Terminal::here());
    let interactive = terminal.is_there();
    let signals = Signals::listen(!interactive, terminal.clone())?;
    let mut shell = Shell {
        session,
        names: names.clone(),
        signals,
        terminal,
        interactive,
        view: View { format: RowFormat::Table, expanded: false },
        timing: false,
        pager: pager(|name| std::env::var(name).ok()),
        paging: true,
        file: None,
        depth: 0,
    };
    let ended = match interactive {
        true => shell.prompt(global.quiet).await,
        false => shell.stdin().await,
    };
    names.close().await;
    ended
}

/// What is to be done after a statement or command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    Quit,
}

/// A session with its settings.
struct Shell {
    session: Session,
    names: Arc<Names>,
    signals: Signals,
    terminal: Arc<Terminal>,
    /// Whether somebody types and reads along.
    interactive: bool,
    view: View,
    timing: bool,
    pager: Option<String>,
    paging: bool,
    /// The file that results go to.
    file: Option<(PathBuf, File)>,
    /// How many files within files are being run.
    depth: usize,
}

impl Shell {
    /// Runs what is typed until Ctrl-D, `\q` or SIGTERM.
    async fn prompt(&mut self, quiet: bool) -> Result<u8> {
        let history = history::file(|name| std::env::var_os(name));
        let mut prompt = Prompt::start(self.names.clone(), history, self.terminal.clone())?;
        if !quiet {
            let version = env!("CARGO_PKG_VERSION");
            print::out(&format!("dxt {version}. Statements end with a semicolon; \\? is help, \\q leaves.\n"))?;
        }
        let end = self.signals.end.clone();
        loop {
            let typed = tokio::select! {
                biased;
                () = end.cancelled() => break,
                typed = prompt.line() => typed,
            };
            match typed {
                Typed::Text(text) => {
                    if self.typed(&text).await == Next::Quit {
                        return Ok(0);
                    }
                }
                Typed::Cleared => {}
                Typed::End => return Ok(0),
                Typed::Failed(error) => return Err(error),
            }
        }
        self.terminal.restore();
        Ok(SIGTERM)
    }

    /// Runs all that was typed at once. An error ends its statement, an interrupt all of it.
    async fn typed(&mut self, text: &str) -> Next {
        let (mut found, rest) = pieces(text);
        // A word alone needs no semicolon.
        found.push(Piece::Statement(rest));
        for piece in found {
            match self.piece(piece).await {
                Ok(Next::More) => {}
                Ok(Next::Quit) => return Next::Quit,
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    print::note(error.message());
                    return Next::More;
                }
                Err(error) => print::error(&error),
            }
        }
        Next::More
    }

    /// Runs what comes from stdin, until its end or the first error.
    async fn stdin(&mut self) -> Result<u8> {
        let mut lines = script::stdin()?;
        let mut held = Held::new("stdin");
        let end = self.signals.end.clone();
        let done = loop {
            let line = tokio::select! {
                biased;
                () = end.cancelled() => break Err(interrupted()),
                line = lines.recv() => line,
            };
            let read = match line {
                Some(Ok(line)) => self.more(&mut held, &line).await,
                Some(Err(error)) => Err(error),
                None => break self.rest(&held).await,
            };
            match read {
                Ok(Next::More) => {}
                done => break done,
            }
        };
        match done {
            Ok(_) => Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                Ok(if end.is_cancelled() { SIGTERM } else { SIGINT })
            }
            Err(error) => {
                print::error(&error);
                Ok(FAILED)
            }
        }
    }

    /// Takes more of a script, and runs what is complete.
    async fn more(&mut self, held: &mut Held, text: &str) -> Result<Next> {
        held.text += text;
        // A statement of very many lines is not looked through at each of them.
        if !text.contains([';', '\\']) {
            return Ok(Next::More);
        }
        while let Some((piece, length)) = first(held.left()) {
            let next = self.piece(piece).await.map_err(|e| held.located(e, length))?;
            held.take(length);
            if next == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        held.forget();
        Ok(Next::More)
    }

    /// Runs what a script has at its end: its last statement needs no semicolon.
    async fn rest(&mut self, held: &Held) -> Result<Next> {
        let text = held.left();
        self.piece(Piece::Statement(text)).await.map_err(|e| held.located(e, text.len()))
    }

    async fn piece(&mut self, piece: Piece<'_>) -> Result<Next> {
        match piece {
            Piece::Statement(sql) if is_blank(sql) => Ok(Next::More),
            Piece::Statement(sql) => match Word::of(sql) {
                Some(Word::Quit) => Ok(Next::Quit),
                Some(Word::Help) => {
                    print::note("\\? lists the commands, \\h says how tables are named, \\q leaves");
                    Ok(Next::More)
                }
                None => self.statement(sql).await,
            },
            Piece::Command(line) => {
                let command = commands::parse(line)?;
                self.command(command).await
            }
        }
    }

    async fn statement(&mut self, sql: &str) -> Result<Next> {
        let begun = Instant::now();
        let running = self.signals.begin();
        let (session, text, view) = (self.session.clone(), sql.to_string(), self.view);
        let (mut out, end) = (self.output()?, running.told.end.clone());
        let work = isolated(move || async move {
            let done = rows(&session, &text, view, &mut out, &end).await;
            let took = begun.elapsed();
            if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                out.discard();
            }
            let gone = out.is_gone();
            // What came before an error is there to be read.
            let written = out.end();
            Ok((done.and_then(|lasts| written.map(|()| lasts)), gone, took))
        });
        let ended = tokio::select! {
            biased;
            ended = work => ended,
            () = running.told.left.cancelled() => Err(Error::new(
                ErrorKind::Interrupted,
                "the statement was interrupted; a part of it cannot stop now, and goes on until it can",
            )),
        };
        drop(running);
        let (done, gone, took) = match ended {
            Ok(ended) => ended,
            Err(error) => (Err(error), false, begun.elapsed()),
        };
        if self.timing {
            print::out(&time(took))?;
        }
        if done? {
            self.session.lasting.push(sql.to_string());
        }
        Ok(self.after(gone))
    }

    /// Who leaves the pager reads on later; without a reader of stdout there is nothing left to do.
    fn after(&self, gone: bool) -> Next {
        if gone && !self.interactive { Next::Quit } else { Next::More }
    }

    /// Where the next result goes.
    fn output(&self) -> Result<Output> {
        match (&self.file, &self.pager) {
            (Some((path, file)), _) => Output::file(file, path),
            (None, Some(pager)) if self.interactive && self.paging => {
                Ok(Output::screen(pager.clone(), &self.terminal, self.signals.clone()))
            }
            _ => Ok(Output::stdout()),
        }
    }

    /// Shows a text where results go.
    async fn show(&self, text: String) -> Result<Next> {
        let mut out = self.output()?;
        let gone = isolated(move || async move {
            out.text(readable(&text).as_bytes())?;
            let gone = out.is_gone();
            out.end().map(|()| gone)
        });
        Ok(self.after(gone.await?))
    }

    async fn command(&mut self, command: Command) -> Result<Next> {
        let said = |what: &str, on: bool| print::out(&format!("{what} is {}.\n", if on { "on" } else { "off" }));
        match command {
            Command::Describe(table) => {
                let running = self.signals.begin();
                let text = async {
                    match &table {
                        None => Ok(describe::everything(&self.names).await),
                        Some(table) => describe::named(&self.names, table).await,
                    }
                };
                let text = tokio::select! {
                    biased;
                    () = running.told.end.cancelled() => Err(interrupted()),
                    text = text => text,
                };
                return self.show(text?).await;
            }
            Command::Connections => return self.show(describe::connections(&self.session.connections)).await,
            Command::Help => return self.show(commands::HELP.into()).await,
            Command::SqlHelp => return self.show(commands::SQL_HELP.into()).await,
            Command::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                said("Timing", self.timing)?;
            }
            Command::Expanded(on) => {
                self.view.expanded = on.unwrap_or(!self.view.expanded);
                said("Expanded display", self.view.expanded)?;
            }
            Command::Pager(on) => {
                self.paging = on.unwrap_or(!self.paging);
                said("The pager", self.paging)?;
            }
            Command::Format(format) => {
                self.view.format = format.unwrap_or(self.view.format);
                print::out(&format!("The format is {}.\n", commands::format_name(self.view.format)))?;
            }
            Command::Output(None) => self.file = None,
            Command::Output(Some(path)) => {
                let file = File::create(&path).map_err(|e| unwritten(&path, e))?;
                self.file = Some((path, file));
            }
            Command::Include(path) => return self.include(&path).await,
            Command::Quit => return Ok(Next::Quit),
        }
        Ok(Next::More)
    }

    /// Runs a file's statements; the first error ends it.
    async fn include(&mut self, path: &Path) -> Result<Next> {
        let shown = path.display().to_string();
        if self.depth == DEPTH {
            return Err(Error::new(ErrorKind::Configuration, format!("{shown}: files within files are {DEPTH} deep"))
                .with_hint("a file that runs itself has no end"));
        }
        let text = std::fs::read_to_string(path).during(ErrorKind::Configuration, || format!("reading {shown}"))?;
        self.depth += 1;
        let mut held = Held::new(&shown);
        // A future that may hold itself.
        let all: std::pin::Pin<Box<dyn Future<Output = Result<Next>> + '_>> = Box::pin(async {
            match self.more(&mut held, &text).await? {
                Next::More => self.rest(&held).await,
                Next::Quit => Ok(Next::Quit),
            }
        });
        let done = all.await;
        self.depth -= 1;
        done
    }
}

/// Runs a statement, and shows its rows or says what it did. Whether it holds for the statements after it.
async fn rows(session: &Session, sql: &str, view: View, out: &mut Output, end: &CancellationToken) -> Result<bool> {
    let statement = session.begin()?;
    // A change ends by itself: before its commit it is rolled back, and a commit that has begun is waited for.
    let changes = changes(sql);
    let outcome = tokio::select! {
        biased;
        () = end.cancelled(), if !changes => Err(interrupted()),
        outcome = statement.execute(sql, end) => outcome,
    };
    let shown = match outcome {
        Ok(Outcome::Rows(rows)) => show(rows, view, out, end).await.map(|()| false),
        Ok(Outcome::Changed(what)) => say(&what, out).map(|()| false),
        Ok(Outcome::Lasts(what)) => say(&what, out).map(|()| true),
        Err(error) => Err(error),
    };
    statement.end().await;
    shown
}

/// Runs work that may take all there is of threads, blocks while somebody reads what it writes, and may have to be left:
/// on threads of its own. It goes on when nobody waits for it any more.
async fn isolated<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let failed = |e: std::io::Error| Error::new(ErrorKind::Pipeline, "there can be no thread for it").with_source(e);
    // Some that no part of a plan computes on: for what ends it, on the systems' side, too.
    let workers = std::thread::available_parallelism().map_or(1, usize::from) + 2;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let (send, done) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("statement".into()).spawn(move || {
        let ended = runtime.block_on(work());
        // Whoever has left it does not wait for the rest of it either.
        runtime.shutdown_background();
        let _ = send.send(ended);
    });
    thread.map_err(failed)?;
    done.await.map_err(|e| Error::new(ErrorKind::Pipeline, "the statement has ended by itself").with_source(e))?
}

/// A script, of which a part may have been run.
struct Held {
    text: String,
    /// The bytes that have been run.
    done: usize,
    /// Where it comes from, and the line at which the rest begins.
    origin: String,
    line: usize,
}

impl Held {
    fn new(origin: &str) -> Self {
        Self { text: String::new(), done: 0, origin: origin.into(), line: 1 }
    }

    /// What has not been run yet.
    fn left(&self) -> &str {
        &self.text[self.done..]
    }

    /// Says where in the script an error is: the first line of the statement that is next.
    fn located(&self, error: Error, length: usize) -> Error {
        if error.kind() == ErrorKind::Interrupted {
            return error;
        }
        let statement = &self.left()[..length];
        let begins = lexer::each(statement).find(|t| t.significant()).map_or(0, |t| t.start);
        let line = self.line + statement[..begins].matches('\n').count();
        error.context(format!("{}:{line}", self.origin))
    }

    /// So many bytes more have been run.
    fn take(&mut self, length: usize) {
        self.line += self.left()[..length].matches('\n').count();
        self.done += length;
    }

    /// Lets go of what has been run.
    fn forget(&mut self) {
        self.text.drain(..self.done);
        self.done = 0;
    }
}

/// How long something took, as psql says it.
fn time(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1_000.0;
    match took.as_secs() {
        0 => format!("Time: {millis:.3} ms\n"),
        seconds => {
            format!("Time: {millis:.3} ms ({:02}:{:02}.{:03})\n", seconds / 60, seconds % 60, took.subsec_millis())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_milliseconds_and_a_long_one_in_minutes_too() {
        assert_eq!(time(Duration::from_micros(1_500)), "Time: 1.500 ms\n");
        assert_eq!(time(Duration::from_millis(61_234)), "Time: 61234.000 ms (01:01.234)\n");
    }

    #[test]
    fn an_error_of_a_script_names_the_line_at_which_its_statement_begins() {
        let mut held = Held::new("a.sql");
        held.text = "SELECT 1;\n\n-- why\nSELECT\n nope;\n".into();
        held.take("SELECT 1;".len());
        let error = held.located(Error::new(ErrorKind::Schema, "no such column"), held.left().len());
        assert_eq!(error.to_string(), "a.sql:4: no such column");
    }
}
