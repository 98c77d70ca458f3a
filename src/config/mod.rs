//! YAML and SQL text → checked model: variables, the project file, defaults, and every fault at its line and column.
//!
//! ```text
//! YAML ─ node ────▶ tree ─ vars ─▶ expanded ─ decode ─▶ raw, key by key ─ resolve ─▶ Pipeline ─ check ─▶ checked
//! SQL ── sql_file ──┘ └─────────────── findings: all that is wrong, reported at once ───────────────┘
//! ```
//!
//! [`load_all`] reads a folder of such files, and gives their variables ([`VarValues`]) values.

mod builder;
mod check;
mod check_fields;
mod check_sql;
mod check_stream;
mod connection;
mod decode;
mod decode_end;
mod decode_field;
mod decode_vars;
mod emit;
mod findings;
mod folder;
mod given;
mod infer;
mod node;
mod places;
mod read;
mod resolve;
mod resolve_end;
mod split;
mod sql_blocks;
mod sql_file;
mod vars;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::connector::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionConfig, Pipeline};

use decode::{Cx, RawFile, Role};

pub use builder::PipelineBuilder;
pub use check::check;
pub use emit::{DraftEnd, DraftLoad, DraftStream, PipelineDraft, stream_id, to_yaml};
pub use folder::{Loaded, load_all};
pub use given::VarValues;
pub(crate) use given::check_used;
pub(crate) use infer::{connection_fault, id_fault};
pub use vars::{Env, ProcessEnv};

/// The name of a project's file.
pub const PROJECT_FILE: &str = "dxt_project.yaml";

/// Folders above a pipeline's own in which a project's file is looked for.
const PROJECT_LEVELS: usize = 5;

/// What errors call a text that comes from no file.
const TEXT: &str = "<yaml>";

/// Loads a pipeline's YAML or SQL file, with the project's file beside it or in one of the five folders above, where there
/// is one. Its variables have their defaults; [`load_all`] gives them others.
///
/// # Errors
/// Configuration: a file cannot be read, or everything that is wrong in the two, at once.
pub fn load(path: &Path, registry: &Registry, env: &dyn Env) -> Result<Pipeline> {
    load_one(path, registry, env, &VarValues::new(), &mut BTreeSet::new(), &mut Vec::new())
        .map(|loaded| loaded.pipeline)
}

/// Loads one file. `used` gets the variables that its SQL names, `included` the files that it names by `sql_file`.
fn load_one(
    path: &Path,
    registry: &Registry,
    env: &dyn Env,
    given: &VarValues,
    used: &mut BTreeSet<String>,
    included: &mut Vec<PathBuf>,
) -> Result<Loaded> {
    let text = read(path)?;
    let folder = folder_of(path);
    let project = find_project(&folder);
    let project = project.map(|path| read(&path).map(|text| (path, text))).transpose()?;
    let mut cx = Cx::new(registry, env);
    let built = build(path, &text, &folder, project, given, used, &mut cx);
    included.append(&mut cx.included);
    built
}

/// Makes a pipeline of a text. Relative paths start at `base_dir`; no project's file is looked for.
///
/// # Errors
/// Configuration: everything that is wrong, at once, in a file that is called `<yaml>`.
pub fn from_yaml(text: &str, base_dir: &Path, registry: &Registry, env: &dyn Env) -> Result<Pipeline> {
    let mut cx = Cx::new(registry, env);
    let built = build(Path::new(TEXT), text, base_dir, None, &VarValues::new(), &mut BTreeSet::new(), &mut cx);
    built.map(|loaded| loaded.pipeline)
}

/// The connections of the project that `dir` belongs to: its `dxt_project.yaml` is in the folder or in one of the five
/// above. None where there is no such file.
///
/// # Errors
/// Configuration: the file cannot be read, or everything that is wrong in it.
pub fn load_connections(dir: &Path, registry: &Registry, env: &dyn Env) -> Result<Vec<ConnectionConfig>> {
    let Some(path) = find_project(dir) else {
        return Ok(Vec::new());
    };
    let text = read(&path)?;
    let mut cx = Cx::new(registry, env);
    let raw = raw(&path, &text, &folder_of(&path), Role::Project, &mut cx);
    let mut configs = Vec::new();
    let mut places = places::Places::default();
    if let Some(raw) = raw {
        places.pipeline = Some(raw.mark);
        for connection in raw.connections.value().unwrap_or_default() {
            connection.pending.into_iter().for_each(|finding| cx.findings.push(finding));
            let check = connection.config.is_some();
            let place = places::ConnectionPlaces { mark: connection.mark, keys: connection.keys, check };
            places.connections.insert(connection.name, place);
            configs.extend(connection.config);
        }
    }
    check::run_connections(&configs, &|_| true, registry, &places, &mut cx.findings);
    cx.findings.finish()?;
    Ok(configs)
}

fn build(
    path: &Path,
    text: &str,
    folder: &Path,
    project: Option<(PathBuf, String)>,
    given: &VarValues,
    used: &mut BTreeSet<String>,
    cx: &mut Cx<'_>,
) -> Result<Loaded> {
    let own = raw(path, text, folder, Role::Pipeline, cx);
    let project = project.and_then(|(path, text)| raw(&path, &text, &folder_of(&path), Role::Project, cx));
    let Some(own) = own else {
        std::mem::take(&mut cx.findings).finish()?;
        return Err(Error::new(ErrorKind::Configuration, format!("{} is not a pipeline", path.display())));
    };
    let name_at = cx.findings.position(own.name.mark().unwrap_or(own.mark));
    let (mut pipeline, places) = resolve::pipeline(own, project, folder.to_path_buf(), cx);
    check::run(&pipeline, cx.registry, &places, &mut cx.findings);
    let unbound = given::give(&mut pipeline, &places, given, used, &mut cx.findings);
    std::mem::take(&mut cx.findings).finish()?;
    Ok(Loaded { path: path.to_path_buf(), pipeline, name_at, unbound })
}

/// Takes a file into `cx` and reads it.
fn raw(path: &Path, text: &str, folder: &Path, role: Role, cx: &mut Cx<'_>) -> Option<RawFile> {
    let file = cx.file(path, folder);
    let mut node = match role {
        Role::Pipeline if is_sql(path) => {
            cx.sql_files.push(file);
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            sql_file::tree(text, file, &stem, &mut cx.findings)?
        }
        _ => node::parse(text, file, &mut cx.findings)?,
    };
    RawFile::decode(&mut node, role, cx)
}

/// Whether a file holds SQL and not YAML.
fn is_sql(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

fn read(path: &Path) -> Result<String> {
    let wrong =
        |problem: String| Error::new(ErrorKind::Configuration, format!("cannot read {}: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "name a pipeline's YAML or SQL file; `dxt init NAME` writes one to begin with"
            }
            std::io::ErrorKind::IsADirectory => "name the file within the folder",
            _ => "name a file that can be read",
        };
        wrong(error.to_string()).with_hint(hint).with_source(error)
    })?;
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".into()).with_hint("save the file as UTF-8"))
}

/// The folder of a file, never empty.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The nearest project file, named from `dir` as the user named it.
fn find_project(dir: &Path) -> Option<PathBuf> {
    let mut dir = dir.to_path_buf();
    for _ in 0..=PROJECT_LEVELS {
        // `./pipeline.yaml` is printed so, and the project beside it without the dot.
        let file = if dir == Path::new(".") { PathBuf::from(PROJECT_FILE) } else { dir.join(PROJECT_FILE) };
        if file.is_file() {
            return Some(file);
        }
        dir = above(&dir)?;
    }
    None
}

/// The folder above, relative where the folder is; `None` above the root.
fn above(dir: &Path) -> Option<PathBuf> {
    use std::path::Component;
    match dir.components().next_back() {
        None | Some(Component::CurDir) => Some(PathBuf::from("..")),
        Some(Component::ParentDir) => Some(dir.join("..")),
        Some(Component::Normal(_)) => {
            let parent = dir.parent()?;
            Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_path_buf() })
        }
        Some(Component::RootDir | Component::Prefix(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_above_stay_as_the_user_names_them() {
        let up = |text: &str| above(Path::new(text)).map(|p| p.display().to_string());
        assert_eq!(up("a/b").as_deref(), Some("a"));
        assert_eq!(up("a").as_deref(), Some("."));
        assert_eq!(up(".").as_deref(), Some(".."));
        assert_eq!(up("..").as_deref(), Some("../.."));
        assert_eq!(up("/a").as_deref(), Some("/"));
        assert_eq!(up("/"), None);
    }
}
