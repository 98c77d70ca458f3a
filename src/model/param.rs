//! Variables of a pipeline: values from outside that its SQL names as `$day`. They are bound as typed values, and never
//! become a part of the SQL's text.

use std::collections::BTreeMap;

use super::TypeName;

/// A variable. Its value may be shown in plans, errors and buffers' manifests: it is no place for a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Param {
    /// The declared type. `None`: that of what the variable is compared with, or text where it is compared with nothing.
    pub dtype: Option<TypeName>,
    /// The value as it was given, or the default; `None` where neither is there.
    pub value: Option<String>,
}

/// The variables of a pipeline by their names, without the `$`.
pub type Params = BTreeMap<String, Param>;

/// Why a text cannot be the name of a variable.
pub(crate) fn param_fault(name: &str) -> Option<&'static str> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let fits = starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && name.len() <= 200;
    (!fits).then_some("a variable's name has letters, digits and `_`, and begins with no digit")
}
