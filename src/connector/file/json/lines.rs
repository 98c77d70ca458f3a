//! Takes one line of JSON apart into its members, each with the text that stands there.
//!
//! A general parser gives numbers as floats and so loses digits; here every value keeps its text until its type is known.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A member's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// `true` or `false`.
    Bool(&'a str),
    /// A number as it is written.
    Number(&'a str),
    /// A string without quotes and escapes; and as it is written.
    String(Cow<'a, str>, &'a str),
    /// An object or array as it is written.
    Nested(&'a str),
}

impl Value<'_> {
    /// The value as it is written.
    pub fn raw(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Bool(raw) | Self::Number(raw) | Self::String(_, raw) | Self::Nested(raw) => raw,
        }
    }
}

/// The members of the object on a line, in order.
///
/// # Errors
/// What is wrong with the line, as a sentence.
pub fn members(line: &[u8]) -> Result<Vec<(Cow<'_, str>, Value<'_>)>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_string())?;
    // Once the whole line is known to be JSON, taking it apart need not check anything again.
    serde_json::from_str::<IgnoredAny>(text).map_err(|e| {
        // Its own line number would be taken for the file's.
        let what = e.to_string();
        format!("the line is not JSON: {}", what.split(" at line ").next().unwrap_or_default())
    })?;
    let mut rest = Rest(text.trim_ascii());
    if !rest.0.starts_with('{') {
        return Err("the line is not a JSON object".into());
    }
    rest.skip(1);
    let mut members = Vec::new();
    while !rest.0.starts_with('}') && !rest.0.is_empty() {
        let raw = rest.value();
        let key = unescaped(raw)?;
        rest.skip(1);
        let raw = rest.value();
        members.push((key, value(raw)?));
        if rest.0.starts_with(',') {
            rest.skip(1);
        }
    }
    Ok(members)
}

fn value(raw: &str) -> Result<Value<'_>, String> {
    Ok(match raw.as_bytes().first() {
        Some(b'"') => Value::String(unescaped(raw)?, raw),
        Some(b'{' | b'[') => Value::Nested(raw),
        Some(b't' | b'f') => Value::Bool(raw),
        Some(b'n') => Value::Null,
        _ => Value::Number(raw),
    })
}

fn unescaped(raw: &str) -> Result<Cow<'_, str>, String> {
    match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str(raw).map(Cow::Owned).map_err(|e| format!("a string cannot be read: {e}")),
    }
}

/// What is left of a line that is valid JSON.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default().trim_ascii_start();
    }

    /// Takes one value with all that it holds.
    fn value(&mut self) -> &'a str {
        let bytes = self.0.as_bytes();
        let (mut at, mut depth) = (0, 0usize);
        while at < bytes.len() {
            match bytes[at] {
                b'"' => at += string_length(&bytes[at..]),
                b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
                b'}' | b']' if depth > 0 => (depth, at) = (depth - 1, at + 1),
                b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                _ => {
                    at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
            // Within nested values, commas and colons are part of the text.
            while depth > 0 && at < bytes.len() && !matches!(bytes[at], b'"' | b'{' | b'[' | b'}' | b']') {
                at += 1;
            }
        }
        let taken = self.0.get(..at).unwrap_or_default();
        self.skip(at);
        taken
    }
}

/// The length of the string at the begin, quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raws(line: &str) -> Vec<(String, String)> {
        members(line.as_bytes()).unwrap().iter().map(|(k, v)| (k.to_string(), v.raw().to_string())).collect()
    }

    #[test]
    fn members_keep_their_texts() {
        let line = r#" { "a" : 12345678901234567890.10 , "b":{"x":[1,"}\""], "y": {}},"c\"d":"e\\","e":null,"f":[ ],"g":true } "#;
        let expected = [
            ("a", "12345678901234567890.10"),
            ("b", r#"{"x":[1,"}\""], "y": {}}"#),
            ("c\"d", r#""e\\""#),
            ("e", "null"),
            ("f", "[ ]"),
            ("g", "true"),
        ];
        let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(raws(line), expected);
        assert_eq!(raws("{}"), []);
        assert_eq!(raws("{ }"), []);
    }

    #[test]
    fn strings_are_unescaped() {
        let members = members(r#"{"a":"\u65e5\n\"","b":"日本"}"#.as_bytes()).unwrap();
        assert_eq!(members[0].1, Value::String("日\n\"".into(), r#""\u65e5\n\"""#));
        assert_eq!(members[1].1, Value::String("日本".into(), "\"日本\""));
    }

    #[test]
    fn other_lines_are_errors() {
        for line in ["[1]", "1", "{\"a\":1", "{\"a\":1}{", "{a:1}", "\"x\"", "{\"a\":01}", "{\"a\":1,}"] {
            assert!(members(line.as_bytes()).is_err(), "{line}");
        }
        assert!(members(b"{\"a\":\"\xff\"}").unwrap_err().contains("UTF-8"));
    }
}
