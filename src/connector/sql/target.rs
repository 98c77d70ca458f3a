//! What a table's columns ask of every load.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DxtField, DxtSchema, nearest};

/// Checks that a load brings columns that the target has, none that it generates, and all that it wants.
///
/// # Errors
/// Schema: with the columns and the way out.
pub fn check_columns(target: &DxtSchema, load: &DxtSchema) -> Result<()> {
    let schema = |what: String| Error::new(ErrorKind::Schema, what);
    let names = |fields: &[&DxtField]| fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    let missing: Vec<&DxtField> = load.fields.iter().filter(|f| target.field(&f.name).is_none()).collect();
    if let Some(first) = missing.first() {
        let error = schema(format!("the target has no column {}", names(&missing)));
        let known = target.names();
        return Err(error.with_hint(match nearest(&first.name, &known) {
            Some(name) => format!("did you mean {name}? A field's `target: {{name: …}}` names its column"),
            None => format!("the target's columns are {}", known.join(", ")),
        }));
    }
    let in_load = |f: &&DxtField| load.field(&f.name).is_some();
    let generated: Vec<&DxtField> = target.fields.iter().filter(|f| f.generated).filter(in_load).collect();
    if !generated.is_empty() {
        let error = schema(format!("the target generates {} itself", names(&generated)));
        return Err(error.with_hint("leave it out of the stream's `fields`"));
    }
    let required = |f: &&DxtField| !f.nullable && !f.has_default && !f.generated;
    let unfilled: Vec<&DxtField> = target.fields.iter().filter(required).filter(|f| !in_load(f)).collect();
    if !unfilled.is_empty() {
        let error = schema(format!("the load has no value for {}, which the target wants NOT NULL", names(&unfilled)));
        return Err(error.with_hint("add a field for it, or give the column a default"));
    }
    Ok(())
}
