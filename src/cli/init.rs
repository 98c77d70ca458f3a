//! `dxt init`: a project that runs as it stands.

use std::fs;
use std::path::Path;

use super::args::{Global, InitArgs};
use super::print;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// The files of a new project by path.
const FILES: [(&str, &str); 5] = [
    ("dxt_project.yaml", include_str!("init/dxt_project.yaml")),
    ("pipeline.yaml", include_str!("init/pipeline.yaml")),
    ("data/customers.csv", include_str!("init/customers.csv")),
    ("data/orders.csv", include_str!("init/orders.csv")),
    (".gitignore", include_str!("init/gitignore")),
];

pub fn run(args: &InitArgs, global: &Global) -> Result<u8> {
    let root = Path::new(&args.name);
    let name = root
        .file_name()
        .and_then(|n| n.to_str())
        .filter(|n| !n.starts_with('.') && n.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
    let Some(name) = name else {
        return Err(Error::new(ErrorKind::Configuration, format!("`{}` is no name for a project", args.name))
            .with_hint("use letters, digits, - and _"));
    };
    if root.exists() {
        return Err(Error::new(ErrorKind::Configuration, format!("{} is there already", root.display()))
            .with_hint("choose another name, or remove it"));
    }
    for (path, text) in FILES {
        let path = root.join(path);
        let doing = || format!("writing {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(root)).during(ErrorKind::Configuration, doing)?;
        fs::write(&path, text.replace("{name}", name)).during(ErrorKind::Configuration, doing)?;
    }
    if !global.quiet {
        let pipeline = root.join("pipeline.yaml");
        print::out(&format!("made {0}; next: dxt run {1}\n", root.display(), pipeline.display()))?;
    }
    Ok(0)
}
