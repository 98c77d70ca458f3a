//! Logs by tracing: text or JSON, to stderr or a file.

use std::fs::OpenOptions;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::args::{Global, LogFormat};
use super::print;
use crate::error::{ErrorKind, Result, ResultExt};

/// Whether logs go to stderr, where progress would tear them apart.
pub fn on_stderr(global: &Global) -> bool {
    let wanted = global.verbose > 0 || global.log_format == LogFormat::Json || std::env::var_os("DXT_LOG").is_some();
    wanted && global.log_file.is_none()
}

/// Sets the logs up for the process. Without `--verbose` and `--log-file` only warnings are shown: results and errors say
/// the rest. `DXT_LOG` takes a filter such as `dxt=debug,tokio_postgres=info`.
pub fn init(global: &Global) -> Result<()> {
    let warnings_only = !on_stderr(global) && global.log_file.is_none();
    let level = match (global.verbose, &global.log_file, global.log_format) {
        (0, None, LogFormat::Text) if global.quiet => "off",
        (0, None, LogFormat::Text) => "dxt=warn",
        (0 | 1, _, _) => "dxt=info,warn",
        _ => "dxt=debug,info",
    };
    let filter = EnvFilter::try_from_env("DXT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let writer = match &global.log_file {
        None => BoxMakeWriter::new(|| print::Stderr),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.during(ErrorKind::Configuration, || format!("opening the log file {}", path.display()))?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    // A second call in one process (a library's test) keeps the first's.
    let _ = match global.log_format {
        LogFormat::Text if warnings_only => builder.without_time().with_target(false).compact().try_init(),
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
