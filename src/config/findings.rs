//! What is wrong in a set of files, gathered so that all of it is reported at once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::{Diagnostic, Error, Position, Result};

/// A place in one of the files of a load, cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Index of the file in [`Findings`].
    pub file: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One finding at a mark, before it is known whether it counts.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub mark: Mark,
    pub message: String,
    pub hint: Option<String>,
}

/// The files read so far and what was found in them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    files: Vec<PathBuf>,
    found: Vec<Diagnostic>,
    seen: HashSet<(Option<Position>, String)>,
}

impl Findings {
    /// Takes a file in, named as the user named it; its index goes into marks.
    pub fn file(&mut self, path: &Path) -> usize {
        self.files.push(path.to_path_buf());
        self.files.len() - 1
    }

    /// Notes what is wrong at a mark, and the way out.
    pub fn add(&mut self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Finding { mark, message: message.into(), hint: Some(hint.into()) });
    }

    /// Notes a finding that was made before.
    pub fn push(&mut self, finding: Finding) {
        let position = self.position(finding.mark);
        self.add_at(Some(position), finding.message, finding.hint);
    }

    /// Notes a finding at a position, or at none for a pipeline built in code.
    pub fn add_at(&mut self, position: Option<Position>, message: impl Into<String>, hint: Option<String>) {
        let message = message.into();
        // A merged or aliased node is read once for each use and would be reported as often.
        if self.seen.insert((position.clone(), message.clone())) {
            self.found.push(Diagnostic { position, message, hint });
        }
    }

    /// The position that a mark stands for.
    pub fn position(&self, mark: Mark) -> Position {
        let file = self.files.get(mark.file).cloned().unwrap_or_default();
        Position { file, line: mark.line, column: mark.column }
    }

    /// Ends the gathering: an error of all findings, file by file from top to bottom.
    pub fn finish(mut self) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let files = self.files;
        self.found.sort_by_key(|d| {
            let place = d.position.as_ref();
            place.map(|p| (files.iter().position(|f| *f == p.file), p.line, p.column))
        });
        Err(Error::configuration(self.found))
    }
}
