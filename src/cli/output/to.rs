//! Where bytes go: stdout, or a file that takes its place when it is whole.

use std::io::{self, Write};
use std::path::Path;

use super::super::print;
use crate::connector::file::destination::Destination;
use crate::error::Result;

/// Where results go. Dropped before [`Output::finish`], a file leaves what was there as it was.
pub enum Output {
    /// The process's own, as it comes.
    Stdout,
    /// A file, by its name.
    File { name: String, file: Box<Destination> },
}

impl Output {
    /// A file at a path that starts at `base_dir`, or at the URL of an object store.
    ///
    /// # Errors
    /// Loader: nothing can be written there. Configuration: the URL is wrong.
    pub async fn file(base_dir: &Path, path: &str) -> Result<Self> {
        Ok(Self::File { name: path.to_string(), file: Box::new(Destination::create(base_dir, path).await?) })
    }

    /// The file's name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Stdout => None,
            Self::File { name, .. } => Some(name),
        }
    }

    /// Writes bytes; `false` where nobody reads them any more.
    ///
    /// # Errors
    /// Pipeline, loader: they cannot be written.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<bool> {
        if bytes.is_empty() {
            return Ok(true);
        }
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let done = out.write_all(bytes).and_then(|()| out.flush());
                let gone = done.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
                print::written(done).map(|()| !gone)
            }
            Self::File { file, .. } => file.write(bytes).await.map(|()| true),
        }
    }

    /// Ends it: a file is there now.
    ///
    /// # Errors
    /// Loader: the file cannot be published.
    pub async fn finish(self) -> Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File { file, .. } => {
                let shown = file.shown().to_string();
                file.publish().await.map_err(|e| e.context(format!("writing {shown}")))
            }
        }
    }
}
