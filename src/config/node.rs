//! YAML as a tree that knows where each of its nodes stands.
//!
//! serde's YAML gives no position of a value that parsed and stops at the first error, so the tree is made from
//! saphyr's events: anchors and merge keys resolved, duplicate keys refused, scalars kept as written.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Number, Value as Json};

use super::findings::{Findings, Mark};

/// Nodes that one file may have once its aliases are expanded; text counts too, by 64 bytes.
const NODE_BUDGET: usize = 1_000_000;
/// Lists and maps within each other.
const DEPTH_LIMIT: usize = 100;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub mark: Mark,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_mark: Mark,
    pub value: Node,
}

/// A scalar, whose type is decided late: a plain `0123` is the text of a password as well as a number.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Without quotes, so that it may be a number, a boolean or null.
    pub plain: bool,
    /// The text before its variables were expanded, where it had some. Messages show this one.
    pub written: Option<String>,
    /// A variable of it is missing, which has been reported.
    pub broken: bool,
}

/// What a scalar is by YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Core {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

impl Scalar {
    pub fn new(text: String, plain: bool) -> Self {
        Self { text, plain, written: None, broken: false }
    }

    /// The type of the scalar. An expanded variable is never null: one that is empty is an empty text.
    pub fn core(&self) -> Core {
        if !self.plain {
            return Core::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => {
                if self.written.is_some() {
                    Core::Text
                } else {
                    Core::Null
                }
            }
            "true" | "True" | "TRUE" => Core::Bool(true),
            "false" | "False" | "FALSE" => Core::Bool(false),
            text => number(text).unwrap_or(Core::Text),
        }
    }
}

/// Numbers of the core schema; Rust's parsers alone would take `inf`, `infinity` or `nan` too.
fn number(text: &str) -> Option<Core> {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if let Some(hex) = text.strip_prefix("0x").filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())) {
        return i128::from_str_radix(hex, 16).ok().map(Core::Int);
    }
    if let Some(octal) = text.strip_prefix("0o").filter(|o| digits(o)) {
        return i128::from_str_radix(octal, 8).ok().map(Core::Int);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Core::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }));
        }
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(Core::Float(f64::NAN)),
        _ => {}
    }
    if digits(unsigned) {
        return text.parse().ok().map(Core::Int);
    }
    if !unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().map(Core::Float)
}

impl Node {
    /// The node for an error, as what it is: never the value of a variable, a URL or a long text.
    pub fn describe(&self) -> String {
        let scalar = match &self.value {
            Value::List(_) => return "a list".into(),
            Value::Map(_) => return "a map".into(),
            Value::Scalar(scalar) => scalar,
        };
        let shown = scalar.written.as_deref().unwrap_or(&scalar.text);
        match scalar.core() {
            Core::Null => "nothing".into(),
            _ if shown.contains("://") => "a URL".into(),
            _ if shown.trim().is_empty() => "an empty text".into(),
            _ if shown.contains(|c: char| c.is_control() && c != '\n') => "a text with control characters".into(),
            _ if shown.chars().count() > 60 || shown.contains('\n') => "a long text".into(),
            Core::Text => format!("`{shown}`"),
            _ => shown.to_string(),
        }
    }

    /// The node where a word belongs: a text that has more than a word's characters may be a secret and is not shown.
    pub fn describe_name(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) if scalar.written.is_none() && scalar.text.contains([':', '=', '@', '/']) => {
                "such a text".into()
            }
            _ => self.describe(),
        }
    }

    /// Whether the node says nothing: `key:` or `key: null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(s) if s.core() == Core::Null)
    }

    /// Whether a variable is missing somewhere within.
    pub fn is_broken(&self) -> bool {
        match &self.value {
            Value::Scalar(s) => s.broken,
            Value::List(items) => items.iter().any(Node::is_broken),
            Value::Map(entries) => entries.iter().any(|e| e.value.is_broken()),
        }
    }

    /// The entry of a map with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key),
            _ => None,
        }
    }

    /// The node as free-form data. A number that would not be printed as it is written (`007`, `1.10`) stays text.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect()),
            Value::Scalar(scalar) => {
                let number = match scalar.core() {
                    Core::Null => return Json::Null,
                    Core::Bool(flag) => return Json::Bool(flag),
                    Core::Int(i) => i64::try_from(i).ok().map(Number::from).or(u64::try_from(i).ok().map(Number::from)),
                    Core::Float(f) => Number::from_f64(f),
                    Core::Text => None,
                };
                match number.filter(|n| n.to_string() == scalar.text) {
                    Some(number) => Json::Number(number),
                    None => Json::String(scalar.text.clone()),
                }
            }
        }
    }

    /// Nodes within and depth below, this one counted in both; text adds to the nodes.
    fn size(&self) -> (usize, usize) {
        let children = |sizes: &mut dyn Iterator<Item = (usize, usize)>| {
            sizes.fold((1, 1), |(nodes, depth), (n, d)| (nodes + n, depth.max(d + 1)))
        };
        match &self.value {
            Value::Scalar(s) => (1 + s.text.len() / 64, 1),
            Value::List(items) => children(&mut items.iter().map(Node::size)),
            Value::Map(entries) => children(&mut entries.iter().map(|e| e.value.size())),
        }
    }
}

/// Parses one file. `None` where it has no tree at all; what is wrong is in `findings` either way.
pub(super) fn parse(text: &str, file: usize, findings: &mut Findings) -> Option<Node> {
    parse_from(text, file, 0, findings)
}

/// Parses a part of a file, before which there are `above` lines.
pub(super) fn parse_from(text: &str, file: usize, above: usize, findings: &mut Findings) -> Option<Node> {
    let (open, anchors) = (Vec::new(), HashMap::new());
    let mut composer = Composer { file, above, findings, open, anchors, budget: NODE_BUDGET, root: None };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => composer.event(event, span).ok()?,
            Err(error) => {
                let at = error.marker();
                let mark = Mark { file, line: at.line().max(1) + above, column: at.col() + 1 };
                let before = text.lines().nth(at.line().max(1) - 1).unwrap_or_default();
                let hint = if before.trim_start_matches(' ').starts_with('\t') || error.info().contains("tab") {
                    "indent with spaces, YAML takes no tabs"
                } else if before.contains("${") && error.info().contains("flow") {
                    "quote a variable that stands within `{…}` or `[…]`: \"${NAME}\""
                } else {
                    "check the indentation, and quote a text that has `: `, ` #`, or begins with one of `*&!%@[{`"
                };
                composer.findings.add(mark, format!("this is not YAML: {}", error.info()), hint);
                return None;
            }
        }
    }
    let root = composer.root.take();
    if root.is_none() {
        findings.add(
            Mark { file, line: above + 1, column: 1 },
            "the file is empty",
            "`dxt init` writes a project to begin with",
        );
    }
    root
}

/// The file cannot be read on; why is in the findings.
struct Stop;

struct Key {
    name: String,
    mark: Mark,
    merge: bool,
}

enum Frame {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key>, merges: Vec<Node> },
}

struct Composer<'a> {
    file: usize,
    /// The lines of the file before the text.
    above: usize,
    findings: &'a mut Findings,
    open: Vec<(Frame, Mark, usize)>,
    anchors: HashMap<usize, Node>,
    budget: usize,
    root: Option<Node>,
}

impl Composer<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let line = span.start.line().max(1) + self.above;
        let mark = Mark { file: self.file, line, column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                self.findings.add(mark, "a second document begins here", "a file holds one pipeline: remove the `---`");
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && self.tag(tag, mark);
                self.add(Node { mark, value: Value::Scalar(Scalar::new(text.into_owned(), plain)) }, anchor, mark)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag, mark);
                self.enter(Frame::List(Vec::new()), mark, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag, mark);
                self.enter(Frame::Map { entries: Vec::new(), key: None, merges: Vec::new() }, mark, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((frame, mark, anchor)) = self.open.pop() else {
                    return Err(Stop);
                };
                let value = match frame {
                    Frame::List(items) => Value::List(items),
                    Frame::Map { entries, merges, .. } => Value::Map(self.merge(entries, merges)),
                };
                self.add(Node { mark, value }, anchor, mark)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    self.findings.add(mark, "an alias refers to the node that it is in", "write the value out");
                    return Err(Stop);
                };
                let (nodes, depth) = node.size();
                self.spend(nodes, depth, mark)?;
                let node = self.anchors.get(&anchor).cloned();
                node.map_or(Err(Stop), |node| self.add(node, 0, mark))
            }
            _ => Ok(()),
        }
    }

    /// Checks a tag; whether a plain scalar under it may be other than text.
    fn tag(&mut self, tag: Option<Cow<'_, Tag>>, mark: Mark) -> bool {
        match tag {
            None => true,
            Some(tag) if tag.is_yaml_core_schema() => tag.suffix != "str",
            Some(_) => {
                self.findings.add(mark, "a tag that dxt does not know", "remove the word that begins with `!`");
                true
            }
        }
    }

    fn enter(&mut self, frame: Frame, mark: Mark, anchor: usize) -> Result<(), Stop> {
        self.spend(0, 1, mark)?;
        self.open.push((frame, mark, anchor));
        Ok(())
    }

    fn spend(&mut self, nodes: usize, depth: usize, mark: Mark) -> Result<(), Stop> {
        if self.open.len() + depth > DEPTH_LIMIT {
            let message = format!("more than {DEPTH_LIMIT} lists and maps within each other");
            self.findings.add(mark, message, "flatten the file");
            return Err(Stop);
        }
        match self.budget.checked_sub(nodes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                let message = format!("the file has more than {NODE_BUDGET} values once its aliases are expanded");
                self.findings.add(mark, message, "use fewer aliases within aliases, or split the file");
                Err(Stop)
            }
        }
    }

    /// Puts a finished node into the list or map that is open. `at` is where it is used: the alias's, for an alias.
    fn add(&mut self, node: Node, anchor: usize, at: Mark) -> Result<(), Stop> {
        self.spend(1, 0, at)?;
        if anchor > 0 {
            // The copy kept for later aliases is held in memory as well.
            self.spend(node.size().0, 0, at)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some((frame, ..)) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match frame {
            Frame::List(items) => items.push(node),
            Frame::Map { entries, key, merges } => match key.take() {
                Some(key) if key.merge => merges.push(Node { mark: at, ..node }),
                Some(Key { name, mark: key_mark, .. }) => match entries.iter().find(|e| e.key == name) {
                    None => entries.push(Entry { key: name, key_mark, value: node }),
                    Some(first) => {
                        let message = format!("duplicate key {name}");
                        let hint = format!("it stands in line {} already: remove one of them", first.key_mark.line);
                        self.findings.add(key_mark, message, hint);
                    }
                },
                None => match node.value {
                    Value::Scalar(scalar) => {
                        *key = Some(Key { merge: scalar.plain && scalar.text == "<<", name: scalar.text, mark: at });
                    }
                    _ => {
                        let hint = "quote a key that begins with `[` or `{`";
                        self.findings.add(at, "a key must be a word, not a list or a map", hint);
                        return Err(Stop);
                    }
                },
            },
        }
        Ok(())
    }

    /// Adds what `<<` brings: a map's own keys win, then the maps in their order.
    fn merge(&mut self, mut entries: Vec<Entry>, merges: Vec<Node>) -> Vec<Entry> {
        for node in merges {
            let mark = node.mark;
            let maps = match node.value {
                Value::List(items) => items,
                _ => vec![node],
            };
            for map in maps {
                let Value::Map(merged) = map.value else {
                    self.findings.add(
                        mark,
                        "`<<` takes a map or a list of maps",
                        "write `<<: *name` for a map that has the anchor `&name`",
                    );
                    continue;
                };
                for entry in merged {
                    if !entries.iter().any(|e| e.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
        entries
    }
}
