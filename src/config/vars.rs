//! `${VAR}` and `${VAR:-default}` in values, expanded after the YAML is parsed: a variable can never change the
//! structure of a file, whatever is in it.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::findings::{Finding, Mark};
use super::node::{Node, Scalar, Value};

/// Where variables come from.
pub trait Env {
    /// The variable's value; `None` where it is not set (or is not UTF-8).
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Env for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

impl Env for HashMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// All but the characters that RFC 3986 calls unreserved.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path or a host a variable may bring several segments, a port or a glob; it cannot begin a query or a user.
const PATH: &AsciiSet =
    &COMPONENT.remove(b'/').remove(b':').remove(b'*').remove(b',').remove(b'=').remove(b'+').remove(b'[').remove(b']');

/// A scalar in its parts.
enum Part<'a> {
    Literal(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
}

/// Expands every value under `node`. Keys stay as they are.
pub(super) fn expand(node: &mut Node, env: &dyn Env, found: &mut Vec<Finding>) {
    let mark = node.mark;
    match &mut node.value {
        Value::Scalar(scalar) => expand_scalar(scalar, env, mark, found),
        Value::List(items) => items.iter_mut().for_each(|item| expand(item, env, found)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| expand(&mut entry.value, env, found)),
    }
}

fn expand_scalar(scalar: &mut Scalar, env: &dyn Env, mark: Mark, found: &mut Vec<Finding>) {
    if !scalar.text.contains("${") {
        return;
    }
    let before = found.len();
    let mut note = |message: String, hint: String| found.push(Finding { mark, message, hint: Some(hint) });
    let expanded = expand_text(&scalar.text, env, &mut note);
    scalar.broken = found.len() > before;
    let has_variable = expanded.1;
    let written = std::mem::replace(&mut scalar.text, expanded.0);
    // `$${` alone brings nothing from outside: such a text may be shown as it is.
    scalar.written = has_variable.then_some(written);
}

/// The expanded text, and whether a variable was in it.
fn expand_text(text: &str, env: &dyn Env, note: &mut dyn FnMut(String, String)) -> (String, bool) {
    let parts = match split(text) {
        Ok(parts) => parts,
        Err((message, hint)) => {
            note(message, hint);
            return (String::new(), true);
        }
    };
    let url = url_shape(&parts);
    let mut out = String::with_capacity(text.len());
    let mut has_variable = false;
    for (i, part) in parts.iter().enumerate() {
        let (name, default) = match part {
            Part::Literal(literal) => {
                out.push_str(literal);
                continue;
            }
            Part::Variable { name, default } => (*name, *default),
        };
        has_variable = true;
        let value = match (env.var(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => expand_text(default, env, note).0,
            (None, None) => {
                note(format!("the variable {name} is not set"), format!("set it, or write ${{{name}:-default}}"));
                continue;
            }
        };
        match url.as_ref().filter(|_| i > 0).map(|u| u.set_at(i)) {
            Some(set) => out.extend(utf8_percent_encode(&value, set)),
            None => out.push_str(&value),
        }
    }
    (out, has_variable)
}

/// Splits a text at its variables. `$${` is the literal `${`.
fn split(text: &str) -> Result<Vec<Part<'_>>, (String, String)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            parts.push(Part::Literal(&rest[..at - 1]));
            parts.push(Part::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            parts.push(Part::Literal(&rest[..at]));
        }
        let inner = &rest[at + 2..];
        let Some(end) = closing(inner) else {
            return Err(("a variable `${` is not closed".into(), "write ${NAME}, or $${ for a literal `${`".into()));
        };
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err((
                "what stands within `${…}` is not a variable's name".into(),
                "write ${NAME} or ${NAME:-default}, or $${ for a literal `${`".into(),
            ));
        }
        parts.push(Part::Variable { name, default });
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

/// Where the `}` stands that closes a variable; a default may hold variables of its own.
fn closing(inner: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = inner.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if i > 0 && bytes[i - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(i),
            b'}' => depth -= 1,
            _ => {}
        }
        // Expansion recurses into defaults: a depth that nobody writes by hand is refused as not closed.
        if depth > 16 {
            return None;
        }
    }
    None
}

/// Which parts of a URL its variables stand in.
struct UrlShape {
    /// The last part that has a literal `@` before the path: variables before it are a user or a password.
    user_end: Option<usize>,
    /// The first part that has a literal `?` or `#`: variables after it are in the query.
    query: Option<usize>,
}

impl UrlShape {
    fn set_at(&self, part: usize) -> &'static AsciiSet {
        let user = self.user_end.is_some_and(|end| part < end);
        let query = self.query.is_some_and(|start| part > start);
        if user || query { COMPONENT } else { PATH }
    }
}

/// The shape of a text that is a URL as written: `scheme://…` without spaces. Prose or SQL that has a URL in it is none.
fn url_shape(parts: &[Part<'_>]) -> Option<UrlShape> {
    let mut scheme = String::new();
    let mut shape = UrlShape { user_end: None, query: None };
    let (mut is_url, mut in_path) = (false, false);
    for (i, part) in parts.iter().enumerate() {
        let mut literal = match part {
            Part::Variable { .. } => {
                if !is_url {
                    scheme.push('x');
                }
                continue;
            }
            Part::Literal(literal) => *literal,
        };
        if literal.contains(char::is_whitespace) {
            return None;
        }
        if !is_url {
            let Some((before, after)) = literal.split_once("://") else {
                scheme.push_str(literal);
                continue;
            };
            scheme.push_str(before);
            is_url = true;
            literal = after;
        }
        for c in literal.chars() {
            match c {
                '@' if !in_path => shape.user_end = Some(i),
                '/' => in_path = true,
                '?' | '#' => {
                    in_path = true;
                    shape.query.get_or_insert(i);
                }
                _ => {}
            }
        }
    }
    let word = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (is_url && word).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let env: BTreeMap<String, String> = [
            ("USER", "ada@work"),
            ("PW", "p:/@?#%ü"),
            ("EMPTY", ""),
            ("DIR", "/tmp/my dir"),
            ("URL", "postgresql://u:p%40w@h/db?x=1"),
            ("SCHEME", "postgresql"),
            ("INNER", "${USER}"),
        ]
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .into();
        let mut wrong = Vec::new();
        let (text, _) = expand_text(text, &env, &mut |message, _| wrong.push(message));
        if wrong.is_empty() { Ok(text) } else { Err(wrong.join("; ")) }
    }

    #[test]
    fn values_defaults_and_literals() {
        assert_eq!(expanded("a ${USER} b").unwrap(), "a ada@work b");
        assert_eq!(expanded("${NOPE:-x y}").unwrap(), "x y");
        assert_eq!(expanded("${EMPTY}|${EMPTY:-d}|${NOPE:-}").unwrap(), "|d|");
        assert_eq!(expanded("${NOPE:-${USER}}!").unwrap(), "ada@work!");
        assert_eq!(expanded("$${USER} $$ $ {x} $1").unwrap(), "${USER} $$ $ {x} $1");
        assert_eq!(expanded("${INNER}").unwrap(), "${USER}", "a value is not expanded again");
    }

    #[test]
    fn every_missing_variable_is_named() {
        assert_eq!(expanded("${A} ${B:-x} ${C}").unwrap_err(), "the variable A is not set; the variable C is not set");
        assert_eq!(expanded("${A").unwrap_err(), "a variable `${` is not closed");
        for text in ["${}", "${1A}", "${A-b}", "${A B}", "${:-x}"] {
            assert_eq!(expanded(text).unwrap_err(), "what stands within `${…}` is not a variable's name", "{text}");
        }
    }

    #[test]
    fn a_value_within_a_url_cannot_change_its_structure() {
        assert_eq!(
            expanded("postgresql://${USER}:${PW}@${NOPE:-localhost:5432}/shop").unwrap(),
            "postgresql://ada%40work:p%3A%2F%40%3F%23%25%C3%BC@localhost:5432/shop"
        );
        assert_eq!(
            expanded("${SCHEME}://h/db?password=${PW}").unwrap(),
            "postgresql://h/db?password=p%3A%2F%40%3F%23%25%C3%BC"
        );
        assert_eq!(expanded("sqlite:///${DIR}/x.db").unwrap(), "sqlite:////tmp/my%20dir/x.db");
    }

    #[test]
    fn a_variable_that_holds_a_whole_url_stands_as_it_is() {
        assert_eq!(expanded("${URL}").unwrap(), "postgresql://u:p%40w@h/db?x=1");
        assert_eq!(expanded("${URL}&y=${USER}").unwrap(), "postgresql://u:p%40w@h/db?x=1&y=ada@work");
    }

    #[test]
    fn a_text_that_only_mentions_a_url_is_not_encoded() {
        assert_eq!(
            expanded("link LIKE 'http://%' AND who = '${USER}'").unwrap(),
            "link LIKE 'http://%' AND who = 'ada@work'"
        );
    }
}
