//! The command line: one file per command, and [`print`], the one place that prints.
//!
//! Results go to stdout, progress and logs to stderr. Exit codes: 0 all is done, 1 a stream, query or connection failed,
//! 2 the command or the pipeline is wrong, 130 and 143 it was interrupted by SIGINT or SIGTERM.

mod args;
mod buffer;
mod discover;
mod explain;
mod init;
mod interrupt;
mod list;
mod logs;
mod output;
mod pipelines;
mod pressure;
mod print;
mod progress;
mod query;
mod run;
mod shell;
mod test;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::config;
use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Pipeline;
use args::{Cli, Command};

pub use pressure::Allocator;

/// The exit code for a command or a pipeline that is wrong.
const WRONG: u8 = 2;
/// The exit code for work that failed.
const FAILED: u8 = 1;

/// How long threads that block may hold up the end of the process.
const LAST: Duration = Duration::from_secs(2);

/// Runs dxt with the arguments of a process, its own name first, and with what tells its allocator to hand memory back at once.
pub fn main(args: impl IntoIterator<Item = OsString>, allocator: Allocator) -> ExitCode {
    pressure::allocator(allocator);
    let cli = match Cli::try_parse_from(args.into_iter().map(no_option)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(WRONG) } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = logs::init(&cli.global) {
        return fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&Error::new(ErrorKind::Pipeline, "the runtime cannot be started").with_source(e)),
    };
    let ended = runtime.block_on(dispatch(cli));
    // What still blocks a thread has been given up, as a wait for the lock of a SQLite file: nobody waits for it.
    runtime.shutdown_timeout(LAST);
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

/// SQL that begins with a comment, which is no option of a command line: none has a blank there.
fn no_option(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(sql) if sql.strip_prefix("--").is_some_and(|rest| rest.starts_with(char::is_whitespace)) => {
            format!(" {sql}").into()
        }
        _ => arg,
    }
}

async fn dispatch(cli: Cli) -> Result<u8> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => run::run(args, crate::Action::Run, None, &global).await,
        Command::Extract(args) => run::run(args, crate::Action::Extract, None, &global).await,
        Command::Load(args) => run::run(args.run, crate::Action::Load, args.run_id, &global).await,
        Command::Buffer(command) => buffer::run(command, &global).await,
        Command::List(args) => list::run(&args),
        Command::Validate(args) => validate::run(args, &global).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Query(args) => query::run(args, &global).await,
        Command::Sql(args) => shell::run(args, &global).await,
        Command::Test(args) => test::run(args).await,
        Command::Discover(args) => discover::run(args).await,
        Command::Init(args) => init::run(&args, &global),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dxt", &mut text);
            print::out(&String::from_utf8_lossy(&text)).map(|()| 0)
        }
    }
}

fn fail(error: &Error) -> ExitCode {
    print::error(error);
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Configuration | ErrorKind::Selector => WRONG,
        _ => FAILED,
    }
}

fn load(path: &std::path::Path, registry: &Registry) -> Result<Pipeline> {
    config::load(path, registry, &config::ProcessEnv)
}
