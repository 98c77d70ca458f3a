//! The pipelines that a command names: one file, or a folder of them.

use std::path::PathBuf;

use super::args::{SelectArgs, VarArgs};
use crate::config::{self, Loaded};
use crate::connector::Registry;
use crate::error::{Error, Result};
use crate::model::selector::{self, Selector};
use crate::model::{Param, Params, Pipeline, Stream};

/// Which variables need a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// All that the selected streams name.
    Needed,
    /// Those that the pipeline does not declare: a name that is misspelt is found so.
    OfDeclaredMayLack,
    /// None.
    MayLack,
}

/// The pipelines of a command, with the selected streams only.
pub struct Pipelines {
    pub all: Vec<(PathBuf, Pipeline)>,
    /// Whether a folder is named: results are then those of several pipelines, however many there are.
    pub of_folder: bool,
}

/// Loads all of them, and selects over all of them. Pipelines of which no stream is selected are left out.
///
/// # Errors
/// Configuration: everything that is wrong in all files, and values that are missing. Selector: nothing is selected.
pub fn load(args: &SelectArgs, registry: &Registry, values: Values) -> Result<Pipelines> {
    let loaded = config::load_all(&args.pipeline, registry, &config::ProcessEnv, &args.vars.values()?)?;
    let parse = |text: &Option<String>| text.as_deref().map(Selector::parse).transpose();
    let (select, exclude) = (parse(&args.select)?, parse(&args.exclude)?);
    let streams: Vec<&[Stream]> = loaded.iter().map(|one| one.pipeline.streams.as_slice()).collect();
    let chosen = selector::select_each(&streams, select.as_ref(), exclude.as_ref())?;
    if values != Values::MayLack {
        let lacks = |(one, chosen): (&Loaded, &Vec<usize>)| one.unbound(chosen, values == Values::Needed);
        let lacking: Vec<_> = loaded.iter().zip(&chosen).flat_map(lacks).collect();
        if !lacking.is_empty() {
            return Err(Error::configuration(lacking));
        }
    }
    let all = loaded.into_iter().zip(chosen).filter(|(_, chosen)| !chosen.is_empty()).map(|(one, chosen)| {
        let mut pipeline = one.pipeline;
        let mut index = 0..;
        pipeline.streams.retain(|_| index.next().is_some_and(|index| chosen.contains(&index)));
        (one.path, pipeline)
    });
    Ok(Pipelines { all: all.collect(), of_folder: args.pipeline.is_dir() })
}

/// The variables of one SQL text that belongs to no pipeline.
///
/// # Errors
/// Configuration: one is given twice, or the SQL does not name it.
pub fn variables(args: &VarArgs, sql: &str) -> Result<Params> {
    let values = args.values()?;
    config::check_used(&values, sql)?;
    Ok(values.into_iter().map(|(name, value)| (name, Param { dtype: None, value: Some(value) })).collect())
}
