//! Pipelines of a file or a folder, loaded together: all that is wrong in all of them is reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::given::{self, Unbound, VarValues};
use super::{Env, PROJECT_FILE};
use crate::connector::Registry;
use crate::error::{Diagnostic, Error, ErrorKind, Position, Result};
use crate::model::Pipeline;

/// A pipeline with the file that it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file as the user named it, or below the folder that was named.
    pub path: PathBuf,
    /// The pipeline, with the values of its variables.
    pub pipeline: Pipeline,
    /// Where its name stands.
    pub(super) name_at: Position,
    pub(super) unbound: Vec<Unbound>,
}

impl Loaded {
    /// What is wrong because variables have no value that these streams name. `declared` says whether those count that
    /// the pipeline declares: a check of its text needs no value for them.
    pub fn unbound(&self, streams: &[usize], declared: bool) -> Vec<Diagnostic> {
        let counts = |unbound: &&Unbound| streams.contains(&unbound.stream) && (declared || !unbound.declared);
        self.unbound.iter().filter(counts).map(|unbound| unbound.diagnostic.clone()).collect()
    }
}

/// Loads the pipeline of a file, or all pipelines below a folder in the order of their paths, with values for their
/// variables. In a folder each `.yaml`, `.yml` and `.sql` file is a pipeline, but for `dxt_project.yaml`, what a
/// pipeline names by `sql_file`, and what is hidden.
///
/// # Errors
/// Configuration: a file cannot be read, two pipelines have one name, a value fits no variable, or everything that is
/// wrong in all of the files, at once.
pub fn load_all(path: &Path, registry: &Registry, env: &dyn Env, given: &VarValues) -> Result<Vec<Loaded>> {
    let mut used = BTreeSet::new();
    if !path.is_dir() {
        let loaded = super::load_one(path, registry, env, given, &mut used, &mut Vec::new())?;
        let unused = given::unused(given, &used);
        return if unused.is_empty() { Ok(vec![loaded]) } else { Err(Error::configuration(unused)) };
    }
    let files = files(path)?;
    if files.is_empty() {
        let text = format!("there is no pipeline in the folder {}", path.display());
        let hint = format!("a pipeline is a file that ends with .yaml, .yml or .sql; {PROJECT_FILE} is none");
        return Err(Error::new(ErrorKind::Configuration, text).with_hint(hint));
    }
    let (sql, yaml): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|file| super::is_sql(file));
    let (mut loaded, mut wrong, mut included) = (Vec::new(), Vec::new(), Vec::new());
    let mut load = |file: &Path, included: &mut Vec<PathBuf>| match super::load_one(
        file, registry, env, given, &mut used, included,
    ) {
        Ok(one) => loaded.push(one),
        Err(error) if !error.diagnostics().is_empty() => wrong.push((file.to_path_buf(), error.diagnostics().to_vec())),
        Err(error) => {
            let hint = error.hint().map(str::to_string);
            let one = Diagnostic { position: None, message: error.to_string(), hint };
            wrong.push((file.to_path_buf(), vec![one]));
        }
    };
    yaml.iter().for_each(|file| load(file, &mut included));
    let included: BTreeSet<PathBuf> = included.iter().filter_map(|file| file.canonicalize().ok()).collect();
    let is_part = |file: &Path| file.canonicalize().is_ok_and(|file| included.contains(&file));
    sql.iter().filter(|file| !is_part(file)).for_each(|file| load(file, &mut Vec::new()));
    loaded.sort_by(|a, b| a.path.cmp(&b.path));
    wrong.sort_by(|a, b| a.0.cmp(&b.0));
    // A project's file is read once for each pipeline.
    let mut found: Vec<Diagnostic> = Vec::new();
    let namesakes = namesakes(&loaded);
    // Whether a variable is used is known when all of the SQL is.
    let unused = if wrong.is_empty() { given::unused(given, &used) } else { Vec::new() };
    for one in wrong.into_iter().flat_map(|(_, wrong)| wrong).chain(namesakes).chain(unused) {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    if found.is_empty() { Ok(loaded) } else { Err(Error::configuration(found)) }
}

/// What is wrong with names that two pipelines have: their buffers and reports would be one.
fn namesakes(loaded: &[Loaded]) -> Vec<Diagnostic> {
    let mut first: BTreeMap<&str, &Loaded> = BTreeMap::new();
    let mut wrong = Vec::new();
    for one in loaded {
        let name = one.pipeline.name.as_str();
        let Some(before) = first.insert(name, one) else { continue };
        wrong.push(Diagnostic {
            position: Some(one.name_at.clone()),
            message: format!("two pipelines are called {name}, this one and that of {}", before.path.display()),
            hint: Some("give one of them another `name:`, by which buffers and reports are told apart".into()),
        });
    }
    wrong
}

/// The files below a folder that may be pipelines, in the order of their paths.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let wrong = |error: std::io::Error| {
            let text = format!("cannot read the folder {}: {error}", folder.display());
            Error::new(ErrorKind::Configuration, text).with_hint("name a folder that can be read").with_source(error)
        };
        // Links may lead to where they come from.
        if !seen.insert(folder.canonicalize().map_err(wrong)?) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if is_pipeline(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_pipeline(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["yaml", "yml", "sql"].iter().any(|known| extension == *known)
        && path.file_name().is_none_or(|name| name != PROJECT_FILE)
}
