//! Free-form options of connections, sources and targets, read with checks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// Options as they stand in YAML: name to scalar, list or map.
pub type Options = BTreeMap<String, Value>;

/// Reads options by name and type, and finds those that nobody asked for.
#[derive(Debug)]
pub struct OptionReader<'a> {
    options: &'a Options,
    known: BTreeSet<&'static str>,
    whose: String,
}

impl<'a> OptionReader<'a> {
    /// A reader; `whose` says in errors whose options these are, such as `source options of a CSV file`.
    pub fn new(options: &'a Options, whose: impl Into<String>) -> Self {
        Self { options, known: BTreeSet::new(), whose: whose.into() }
    }

    fn get<T>(&mut self, name: &'static str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        self.known.insert(name);
        match self.options.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Configuration, format!("{}: {name} must be {what}, not {value}", self.whose))
            }),
        }
    }

    /// A text; numbers and booleans count as their text.
    pub fn string(&mut self, name: &'static str) -> Result<Option<String>> {
        self.get(name, "a text", |v| match v {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        })
    }

    /// `true` or `false`.
    pub fn bool(&mut self, name: &'static str) -> Result<Option<bool>> {
        self.get(name, "true or false", |v| match v {
            Value::Bool(b) => Some(*b),
            Value::String(s) => s.parse().ok(),
            _ => None,
        })
    }

    /// A whole number from 0.
    pub fn u64(&mut self, name: &'static str) -> Result<Option<u64>> {
        self.get(name, "a whole number", |v| match v {
            Value::Number(n) => n.as_u64(),
            Value::String(s) => s.parse().ok(),
            _ => None,
        })
    }

    /// Exactly one byte, such as a delimiter; `\t` stands for a tab.
    pub fn byte(&mut self, name: &'static str) -> Result<Option<u8>> {
        self.get(name, "one ASCII character", |v| match v.as_str()? {
            "\\t" => Some(b'\t'),
            s if s.len() == 1 => Some(s.as_bytes()[0]),
            _ => None,
        })
    }

    /// A list of texts; a single text is a list of one.
    pub fn strings(&mut self, name: &'static str) -> Result<Option<Vec<String>>> {
        self.get(name, "a list of texts", |v| match v {
            Value::String(s) => Some(vec![s.clone()]),
            Value::Array(items) => items.iter().map(|i| i.as_str().map(str::to_string)).collect(),
            _ => None,
        })
    }

    /// The value as it stands, for options with a shape of their own.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        self.options.get(name).filter(|value| !value.is_null())
    }

    /// Checks that `options` holds nothing but these.
    ///
    /// # Errors
    /// Configuration: an option that is not among them, with the nearest known name.
    pub fn known(options: &'a Options, whose: &str, names: &[&'static str]) -> Result<()> {
        Self { options, known: names.iter().copied().collect(), whose: whose.to_string() }.finish()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Configuration: an option that no call asked for, with the nearest known name.
    pub fn finish(self) -> Result<()> {
        let Some(unknown) = self.options.keys().find(|k| !self.known.contains(k.as_str())) else { return Ok(()) };
        let error = Error::new(ErrorKind::Configuration, format!("{}: unknown option {unknown}", self.whose));
        let known: Vec<&str> = self.known.iter().copied().collect();
        Err(error.with_hint(match nearest(unknown, &known) {
            Some(name) => format!("did you mean {name}?"),
            None if known.is_empty() => "it takes no options".into(),
            None => format!("known options: {}", known.join(", ")),
        }))
    }
}

/// The value of an option that is one of a few words. `whose` as in [`OptionReader::new`].
///
/// # Errors
/// Configuration: it is none of them, with the nearest.
pub(crate) fn one_of<T: Copy>(whose: &str, option: &str, word: &str, known: &[(&str, T)]) -> Result<T> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == word) {
        return Ok(*value);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let text = format!("{whose}: {option} must be one of {}, not {word}", names.join(", "));
    let error = Error::new(ErrorKind::Configuration, text);
    Err(match nearest(word, &names) {
        Some(name) => error.with_hint(format!("did you mean {name}?")),
        None => error,
    })
}

/// The known word nearest to a misspelt one, where one is near enough to suggest.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()), *k))
        .filter(|(distance, k)| *distance <= 1 + k.len().max(word.len()) / 4)
        .min()
        .map(|(_, k)| k)
}
