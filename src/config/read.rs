//! Reads maps of the tree key by key into checked values. What is wrong becomes a finding and the value
//! [`Given::Broken`], so that later checks say nothing about what has been reported already.

use std::time::Duration;

use super::findings::{Findings, Mark};
use super::node::{Core, Entry, Node, Value};
use crate::model::{Lookback, Options, nearest, parse_duration};

/// What a file says of one key.
#[derive(Debug, Clone, Default)]
pub(super) enum Given<T> {
    /// Nothing.
    #[default]
    Absent,
    /// `key: null`: the default of dxt, whatever the pipeline's or project's default is.
    Cleared(Mark),
    /// Something wrong, which has been reported.
    Broken(Mark),
    /// This.
    Is(T, Mark),
}

impl<T> Given<T> {
    /// This, or where it is absent, the default.
    pub fn or(self, default: Self) -> Self {
        match self {
            Self::Absent => default,
            given => given,
        }
    }

    pub fn value(self) -> Option<T> {
        match self {
            Self::Is(value, _) => Some(value),
            _ => None,
        }
    }

    pub fn as_ref(&self) -> Given<&T> {
        match self {
            Self::Absent => Given::Absent,
            Self::Cleared(mark) => Given::Cleared(*mark),
            Self::Broken(mark) => Given::Broken(*mark),
            Self::Is(value, mark) => Given::Is(value, *mark),
        }
    }

    pub fn mark(&self) -> Option<Mark> {
        match self {
            Self::Absent => None,
            Self::Cleared(mark) | Self::Broken(mark) | Self::Is(_, mark) => Some(*mark),
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// A map whose keys are known.
pub(super) struct Fields<'a> {
    pub mark: Mark,
    entries: &'a [Entry],
    /// Known keys that an unknown one is near to: they count as given and broken.
    misspelt: Vec<(&'static str, Mark)>,
}

impl<'a> Fields<'a> {
    /// Opens a map; `what` names it where the node is no map. Unknown keys are reported.
    pub fn open(node: &'a Node, what: &str, known: &[&'static str], findings: &mut Findings) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            if !node.is_broken() {
                let hint = format!("known keys: {}", known.join(", "));
                findings.add(node.mark, format!("{what} must be a map, not {}", node.describe()), hint);
            }
            return None;
        };
        let mut misspelt = Vec::new();
        for entry in entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            let near = nearest(&entry.key, known);
            let hint = match near {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known keys here: {}", known.join(", ")),
            };
            findings.add(entry.key_mark, format!("unknown key {}", shown(&entry.key)), hint);
            misspelt.extend(near.map(|name| (name, entry.key_mark)));
        }
        Some(Self { mark: node.mark, entries, misspelt })
    }

    /// The entry with this key.
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    /// The value of a key, read by `read`, which reports what is wrong with it and then gives `None`.
    pub fn get<T>(&self, key: &str, read: impl FnOnce(&'a Node) -> Option<T>) -> Given<T> {
        let Some(entry) = self.entry(key) else {
            return match self.misspelt.iter().find(|(name, _)| *name == key) {
                Some((_, mark)) => Given::Broken(*mark),
                None => Given::Absent,
            };
        };
        let node = &entry.value;
        if node.is_null() {
            return Given::Cleared(entry.key_mark);
        }
        // A map or list goes on to be read where a variable within is missing: its other keys may be wrong too.
        if matches!(&node.value, Value::Scalar(scalar) if scalar.broken) {
            return Given::Broken(node.mark);
        }
        match read(node) {
            Some(value) => Given::Is(value, node.mark),
            None => Given::Broken(node.mark),
        }
    }

    /// A text that is not empty.
    pub fn text(&self, key: &str, findings: &mut Findings) -> Given<String> {
        self.get(key, |node| text(node, key, findings))
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Given<T> {
        self.get(key, |node| word(node, key, words, findings))
    }

    /// A list of such words; a single one is a list of one.
    pub fn words<T: Copy>(&self, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Given<Vec<T>> {
        self.get(key, |node| match &node.value {
            Value::List(items) => {
                let read: Vec<_> = items.iter().map(|item| word(item, key, words, findings)).collect();
                read.into_iter().collect()
            }
            _ => Some(vec![word(node, key, words, findings)?]),
        })
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str, findings: &mut Findings) -> Given<bool> {
        self.get(key, |node| match &node.value {
            Value::Scalar(scalar) => match scalar.core() {
                Core::Bool(flag) => Some(flag),
                _ => wrong(node, key, "true or false", "write true or false, without quotes", findings),
            },
            _ => wrong(node, key, "true or false", "write true or false", findings),
        })
    }

    /// A whole number within bounds, both included.
    pub fn number(&self, key: &str, least: i128, most: i128, findings: &mut Findings) -> Given<i128> {
        self.get(key, |node| {
            let core = match &node.value {
                Value::Scalar(scalar) => scalar.core(),
                _ => Core::Null,
            };
            match core {
                Core::Int(number) if (least..=most).contains(&number) => Some(number),
                Core::Int(_) => {
                    let message = format!("{key} must be from {least} to {most}, not {}", node.describe());
                    findings.add(node.mark, message, "take a number within these bounds");
                    None
                }
                _ => wrong(node, key, "a whole number", "write digits only, without quotes or units", findings),
            }
        })
    }

    /// A list of texts with a mark each; a single text is a list of one.
    pub fn texts(&self, key: &str, findings: &mut Findings) -> Given<Vec<(String, Mark)>> {
        self.get(key, |node| match &node.value {
            Value::List(items) => {
                let read: Vec<_> = items.iter().map(|i| Some((text(i, key, findings)?, i.mark))).collect();
                read.into_iter().collect()
            }
            Value::Map(_) => wrong(node, key, "a text or a list of texts", "write `[one, two]`", findings),
            Value::Scalar(_) => Some(vec![(text(node, key, findings)?, node.mark)]),
        })
    }

    /// Free-form options.
    pub fn options(&self, key: &str, findings: &mut Findings) -> Given<Options> {
        self.get(key, |node| match &node.value {
            Value::Map(entries) => Some(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect()),
            _ => wrong(node, key, "a map", "write `{name: value}`", findings),
        })
    }

    /// `90s`, `15m`, `1h`, `7d`, `2w`, or a whole number.
    pub fn lookback(&self, key: &str, findings: &mut Findings) -> Given<Lookback> {
        self.get(key, |node| {
            let parsed = match &node.value {
                Value::Scalar(scalar) => lookback(&scalar.text),
                _ => None,
            };
            let hint = "write 90s, 15m, 1h, 7d or 2w for a time, or a whole number for a number";
            parsed.or_else(|| wrong(node, key, "a duration or a whole number", hint, findings))
        })
    }

    /// `500ms`, `90s`, `15m`, `1h`, `7d`: a time.
    pub fn duration(&self, key: &str, findings: &mut Findings) -> Given<Duration> {
        self.get(key, |node| {
            let parsed = match &node.value {
                Value::Scalar(scalar) => parse_duration(&scalar.text),
                _ => None,
            };
            parsed.or_else(|| wrong(node, key, "a duration", "write 500ms, 90s, 15m, 1h or 7d", findings))
        })
    }
}

fn wrong<T>(node: &Node, key: &str, what: &str, hint: &str, findings: &mut Findings) -> Option<T> {
    findings.add(node.mark, format!("{key} must be {what}, not {}", node.describe()), hint);
    None
}

/// A text that is not empty. A number is taken as it is written; `true` and `null` more often are mistakes.
pub(super) fn text(node: &Node, key: &str, findings: &mut Findings) -> Option<String> {
    let Value::Scalar(scalar) = &node.value else {
        return wrong(node, key, "a text", "write one text", findings);
    };
    match scalar.core() {
        _ if scalar.broken => None,
        Core::Null => wrong(node, key, "a text", "write a text, or remove the key", findings),
        Core::Bool(_) => {
            let hint = format!("quote it if the word is meant: \"{}\"", scalar.text);
            wrong(node, key, "a text", &hint, findings)
        }
        _ if scalar.text.contains('\0') => wrong(node, key, "a text without NUL", "remove the NUL", findings),
        _ if scalar.text.trim().is_empty() => {
            wrong(node, key, "a text", "write a text that is not empty, or remove the key", findings)
        }
        _ => Some(scalar.text.clone()),
    }
}

/// One of a few words, with the nearest as the hint.
pub(super) fn word<T: Copy>(node: &Node, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
    let known: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
    let Value::Scalar(scalar) = &node.value else {
        return wrong(node, key, "a word", &format!("one of {}", known.join(", ")), findings);
    };
    if let Some((_, value)) = words.iter().find(|(w, _)| *w == scalar.text) {
        return Some(*value);
    }
    let hint = match nearest(&scalar.text, &known) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("one of {}", known.join(", ")),
    };
    findings.add(node.mark, format!("unknown {key} {}", node.describe()), hint);
    None
}

/// A key for an error: cut where it is long, and without the rest of it where it is a URL.
pub(super) fn shown(key: &str) -> String {
    if key.contains("://") {
        return "that is a URL".into();
    }
    let short: String = key.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.is_empty() { "``".into() } else { short }
}

fn lookback(text: &str) -> Option<Lookback> {
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().ok().map(Lookback::Count),
        false => parse_duration(text).map(Lookback::Duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookback_is_a_duration_with_a_unit_or_a_number() {
        let seconds = |s| Some(Lookback::Duration(Duration::from_secs(s)));
        assert_eq!(lookback("90s"), seconds(90));
        assert_eq!(lookback("15m"), seconds(900));
        assert_eq!(lookback("1h"), seconds(3_600));
        assert_eq!(lookback("7d"), seconds(604_800));
        assert_eq!(lookback("2w"), seconds(1_209_600));
        assert_eq!(lookback("1000"), Some(Lookback::Count(1000)));
        for text in ["", "h", "-1h", "1.5h", "1 h", "1y", "1hh", "99999999999999999999", "18446744073709551615w"] {
            assert_eq!(lookback(text), None, "{text}");
        }
    }
}
