//! Names of relations: `orders`, `public.orders`, `"Mixed Case"."a.b"`.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A relation's name in its parts, outermost first, unquoted and case kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RelationName {
    /// One part (`orders`) or two (`public`, `orders`).
    pub parts: Vec<String>,
}

impl RelationName {
    /// Splits at dots outside of double quotes; a doubled quote inside of quotes stands for one.
    ///
    /// # Errors
    /// Configuration: an empty part, a quote that is not closed, more than three parts.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(ErrorKind::Configuration, format!("`{text}` is not a relation's name: {why}"))
                .with_hint("write `table`, `schema.table`, or quote a part that has dots: \"my.table\"")
        };
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut chars = text.trim().chars().peekable();
        while let Some(c) = chars.next() {
            let last = parts.len() - 1;
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    parts[last].push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                '\0' => return Err(wrong("it has a NUL")),
                other => parts[last].push(other),
            }
        }
        if quoted {
            return Err(wrong("a quote is not closed"));
        }
        if parts.iter().any(String::is_empty) {
            return Err(wrong("a part is empty"));
        }
        if parts.len() > 3 {
            return Err(wrong("it has more than three parts"));
        }
        Ok(Self { parts })
    }

    /// The last part: the relation itself.
    pub fn table(&self) -> &str {
        self.parts.last().map(String::as_str).unwrap_or_default()
    }

    /// The part before it, where there is one.
    pub fn schema(&self) -> Option<&str> {
        self.parts.len().checked_sub(2).map(|i| self.parts[i].as_str())
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            let plain = part.chars().all(|c| c.is_alphanumeric() || c == '_');
            if plain { f.write_str(part)? } else { write!(f, "\"{}\"", part.replace('"', "\"\""))? }
        }
        Ok(())
    }
}
