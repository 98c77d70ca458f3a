//! One error type for all of dxt: what kind, what was being done, the cause, and the way out.
//!
//! A connector keeps its own private errors and turns them into [`Error`] in one place.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::transient;

/// The result of everything in dxt that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a word that programs can match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The pipeline's or project's text is wrong.
    Configuration,
    /// A system cannot be reached or refuses the login.
    Connection,
    /// A connector was asked for something that it does not do.
    Connector,
    /// Reading from a source failed.
    Extractor,
    /// Writing to a target failed; the target is as it was.
    Loader,
    /// A buffer cannot be written, found or read.
    Buffer,
    /// A value or a count is not what it has to be.
    Validation,
    /// Columns are missing, double or of types that do not fit.
    Schema,
    /// A type has no counterpart on the other side.
    TypeMapping,
    /// The run itself failed: a plan, a thread, memory.
    Pipeline,
    /// A selection of streams is malformed or matches nothing.
    Selector,
    /// A signal or the caller has stopped the run.
    Interrupted,
}

impl ErrorKind {
    /// The kind as it is printed and written to JSON, such as `type mapping`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Connection => "connection",
            Self::Connector => "connector",
            Self::Extractor => "extractor",
            Self::Loader => "loader",
            Self::Buffer => "buffer",
            Self::Validation => "validation",
            Self::Schema => "schema",
            Self::TypeMapping => "type mapping",
            Self::Pipeline => "pipeline execution",
            Self::Selector => "selector",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a text file, counted from 1 as editors do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The file as the user named it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The place of a line and column, from 1, of a text whose first character stands here.
    pub fn within(&self, line: usize, column: usize) -> Self {
        let first = if line <= 1 { self.column.saturating_sub(1) } else { 0 };
        let line = self.line.saturating_add(line.saturating_sub(1));
        Self { file: self.file.clone(), line, column: first.saturating_add(column) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One finding in a configuration file. A file's findings are reported together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is; `None` where the text has no such place (a pipeline built in code).
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " … {hint}"),
            None => Ok(()),
        }
    }
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    hint: Option<String>,
    diagnostics: Vec<Diagnostic>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    transient: bool,
}

/// An error of dxt. Cloning is cheap enough for an error. `Display` prints it on one line without the hint; [`Error::report`] prints all of it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

impl Error {
    /// A new error: its kind and what happened, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            diagnostics: Vec::new(),
            source: None,
            transient: false,
        }))
    }

    /// All findings of a configuration file as one error. `findings` must not be empty.
    pub fn configuration(findings: Vec<Diagnostic>) -> Self {
        let text = match findings.as_slice() {
            [one] => one.to_string(),
            many => format!("{} errors in the configuration", many.len()),
        };
        let mut error = Self::new(ErrorKind::Configuration, text);
        error.0.diagnostics = findings;
        error
    }

    /// Adds the way out.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the way out where none is known yet.
    pub fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Adds the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        self.0.transient |= transient::is_transient(source.as_ref());
        self.0.source = Some(Arc::from(source));
        self
    }

    /// Says whether the same work may well succeed a little later: a server that is starting, a connection that broke, a
    /// deadlock. Causes of the network and of object stores say it themselves.
    pub fn transient(mut self, transient: bool) -> Self {
        self.0.transient = transient;
        self
    }

    /// Says what was being done. The outermost comes last in the call order and first in print.
    pub fn context(mut self, doing: impl Into<String>) -> Self {
        let doing = doing.into();
        // Two layers may both know the connection's name.
        if self.0.context.last() != Some(&doing) {
            self.0.context.push(doing);
        }
        self
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same work may well succeed a little later. It does not say that repeating it is safe: a run repeats
    /// only what failed before its commit began.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// What happened, without context, cause and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The findings of a configuration error, in the order of the file.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0.diagnostics
    }

    /// The whole error for a person: context, message, each cause and the hint, on lines of their own.
    pub fn report(&self) -> String {
        if self.0.diagnostics.len() > 1 {
            return self.0.diagnostics.iter().map(|d| format!("{d}\n")).collect();
        }
        let mut text = format!("{} error: {self}\n", self.kind());
        let mut last = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !last.contains(&said) {
                text += &format!("  cause: {said}\n");
                last = said;
            }
            cause = error.source();
        }
        if let Some(hint) = &self.0.hint {
            text += &format!("  hint: {hint}\n");
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for doing in self.0.context.iter().rev() {
            write!(f, "{doing}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|e| e.as_ref() as &(dyn StdError + 'static))
    }
}

/// Adds context or a kind to results of other libraries.
pub trait ResultExt<T> {
    /// Turns the error into one of dxt with `kind` and what was being done; an [`Error`] inside keeps its own kind.
    fn during(self, kind: ErrorKind, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> ResultExt<T> for std::result::Result<T, E> {
    fn during(self, kind: ErrorKind, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let boxed: Box<dyn StdError + Send + Sync> = error.into();
            match boxed.downcast::<Error>() {
                Ok(own) => own.context(doing()),
                Err(other) => Error::new(kind, doing()).with_cause(other),
            }
        })
    }
}

impl Error {
    /// Adds a cause whose first line belongs into the message, as most libraries' errors say it all there.
    fn with_cause(mut self, cause: Box<dyn StdError + Send + Sync>) -> Self {
        self.0.context.push(std::mem::take(&mut self.0.message));
        self.0.message = cause.to_string();
        self.0.transient |= transient::is_transient(cause.as_ref());
        self.0.source = Some(Arc::from(cause));
        self
    }
}
