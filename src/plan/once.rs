//! Whether a load is entered into its target's ledger.

use super::Engine;
use crate::buffer::BufferId;
use crate::connector::{LEDGER, Once};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LoadMode, Stream};

/// How a load of the buffer `id` is known to its target's ledger; `None` where it is not entered. `outlives`: whether the
/// buffer is there after its process, so that its load may be repeated.
///
/// # Errors
/// Configuration: the pipeline asks for it, and the target's system cannot.
pub fn once(engine: &Engine, stream: &Stream, id: &BufferId, outlives: bool) -> Result<Option<Once>> {
    let can = engine.connector(&stream.target.connection)?.capabilities().ledger;
    let required = match stream.load.once {
        Some(false) => return Ok(None),
        Some(true) if !can => {
            let what = format!(
                "load.once: {} cannot commit rows and the ledger {LEDGER} in one transaction",
                stream.target.connection
            );
            return Err(Error::new(ErrorKind::Configuration, what).with_hint("remove `once: true`"));
        }
        Some(true) => true,
        // Anything else repeats without harm.
        None if can && outlives && stream.load.mode == LoadMode::Append => false,
        None => return Ok(None),
    };
    let BufferId { pipeline, stream, run_id } = id.clone();
    Ok(Some(Once { pipeline, stream, run_id, required }))
}
