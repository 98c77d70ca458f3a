//! Sources and targets as written: a text, or `{connection, type, value | sql | sql_file, options}`.

use std::path::Path;

use super::connection;
use super::decode::Cx;
use super::findings::Mark;
use super::infer;
use super::node::{Node, Value};
use super::read::{self, Fields, Given};
use crate::model::{ConnectionConfig, Options};

/// A connection that a source or target refers to.
#[derive(Debug, Clone)]
pub(super) enum RawConnectionRef {
    Name(String),
    /// A URL or a map right there, still without a name; with the places of its keys.
    Inline(Box<ConnectionConfig>, Vec<(String, Mark)>),
}

/// The type of a source or target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndType {
    Relation,
    Sql,
    Query,
    File,
}

/// What is read or written.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Value {
        text: String,
        /// The text for messages, without the values of variables.
        shown: String,
    },
    /// From `sql` or `sql_file`.
    Sql(String),
}

/// A source or a target, or the default of one.
#[derive(Debug, Clone, Default)]
pub(super) struct RawEnd {
    /// Whether and where it is written.
    pub given: Given<()>,
    pub connection: Given<RawConnectionRef>,
    pub kind: Given<EndType>,
    pub content: Given<Content>,
    /// Where the first character of its SQL stands, where that comes from a SQL file.
    pub sql: Option<Mark>,
    pub options: Given<Options>,
}

const SOURCE_KEYS: [&str; 6] = ["connection", "type", "value", "sql", "sql_file", "options"];
const TARGET_KEYS: [&str; 4] = ["connection", "type", "value", "options"];

const SOURCE_TYPES: [(&str, EndType); 4] =
    [("relation", EndType::Relation), ("sql", EndType::Sql), ("query", EndType::Query), ("file", EndType::File)];
const TARGET_TYPES: [(&str, EndType); 2] = [("relation", EndType::Relation), ("file", EndType::File)];

impl RawEnd {
    /// A stream's source.
    pub fn source(parent: &Fields<'_>, cx: &mut Cx<'_>) -> Self {
        Self::decode(parent, "source", false, cx)
    }

    /// A stream's target.
    pub fn target(parent: &Fields<'_>, cx: &mut Cx<'_>) -> Self {
        Self::decode(parent, "target", false, cx)
    }

    /// The source of streams that do not say theirs. A text is a connection there.
    pub fn default_source(parent: &Fields<'_>, cx: &mut Cx<'_>) -> Self {
        Self::decode(parent, "source", true, cx)
    }

    /// The target of streams that do not say theirs. A text is a connection there.
    pub fn default_target(parent: &Fields<'_>, cx: &mut Cx<'_>) -> Self {
        Self::decode(parent, "target", true, cx)
    }

    fn decode(parent: &Fields<'_>, side: &'static str, is_default: bool, cx: &mut Cx<'_>) -> Self {
        let mut end = Self::default();
        end.given = parent.get(side, |node| match &node.value {
            Value::Scalar(_) if is_default => {
                end.connection = reference(node, cx);
                Some(())
            }
            Value::Scalar(_) => {
                end.content = content(node, side, cx);
                Some(())
            }
            _ => end.read_map(node, side, cx),
        });
        if let Given::Broken(mark) = end.given {
            return Self::broken(mark);
        }
        end
    }

    fn read_map(&mut self, node: &Node, side: &'static str, cx: &mut Cx<'_>) -> Option<()> {
        let is_source = side == "source";
        let known: &[&'static str] = if is_source { &SOURCE_KEYS } else { &TARGET_KEYS };
        let types: &[(&str, EndType)] = if is_source { &SOURCE_TYPES } else { &TARGET_TYPES };
        let fields = Fields::open(node, side, known, &mut cx.findings)?;
        self.connection = match fields.entry("connection") {
            Some(entry) if entry.value.is_null() => Given::Cleared(entry.key_mark),
            Some(entry) => reference(&entry.value, cx),
            None => fields.get("connection", |_| None),
        };
        self.kind = fields.word("type", types, &mut cx.findings);
        self.options = fields.options("options", &mut cx.findings);
        let value = match fields.get("value", Some) {
            Given::Is(node, _) => content(node, "value", cx),
            Given::Broken(mark) => Given::Broken(mark),
            Given::Cleared(_) | Given::Absent => Given::Absent,
        };
        if !is_source {
            self.content = value;
            return Some(());
        }
        let mut contents = vec![value];
        contents.push(map(fields.text("sql", &mut cx.findings), Content::Sql));
        contents.push(fields.get("sql_file", |node| {
            let (content, mark) = sql_file(node, cx)?;
            self.sql = Some(mark);
            Some(content)
        }));
        let mut given = contents.into_iter().filter(|c| !matches!(c, Given::Absent | Given::Cleared(_)));
        self.content = given.next().unwrap_or_default();
        if let Some(second) = given.next() {
            let mark = second.mark().unwrap_or(node.mark);
            cx.findings.add(mark, "a source takes only one of value, sql and sql_file", "remove the others");
            self.content = Given::Broken(mark);
        }
        if let Given::Is(Content::Sql(_), mark) = self.content
            && cx.is_sql(mark)
        {
            self.sql = Some(mark);
        }
        Some(())
    }

    fn broken(mark: Mark) -> Self {
        Self {
            given: Given::Broken(mark),
            connection: Given::Broken(mark),
            kind: Given::Broken(mark),
            content: Given::Broken(mark),
            sql: None,
            options: Given::Absent,
        }
    }
}

fn map<T, U>(given: Given<T>, f: impl FnOnce(T) -> U) -> Given<U> {
    match given {
        Given::Is(value, mark) => Given::Is(f(value), mark),
        Given::Absent => Given::Absent,
        Given::Cleared(mark) => Given::Cleared(mark),
        Given::Broken(mark) => Given::Broken(mark),
    }
}

fn reference(node: &Node, cx: &mut Cx<'_>) -> Given<RawConnectionRef> {
    let mark = node.mark;
    if node.is_broken() {
        return Given::Broken(mark);
    }
    let read = match &node.value {
        Value::Scalar(scalar) if !scalar.text.contains("://") => {
            let name = read::text(node, "connection", &mut cx.findings);
            // A malformed URL or a list of `key=value` may hold a password, and is no name that could be misspelt.
            if name.as_ref().is_some_and(|n| infer::connection_fault(n).is_some()) {
                let message = format!("connection must be a name or a URL, not {}", node.describe_name());
                cx.findings.add(mark, message, "name one under connections, or write `scheme://…`");
                return Given::Broken(mark);
            }
            name.map(RawConnectionRef::Name)
        }
        _ => connection::decode("within a stream", node, cx)
            .map(|config| RawConnectionRef::Inline(Box::new(config), connection::key_marks(node))),
    };
    read.map_or(Given::Broken(mark), |reference| Given::Is(reference, mark))
}

fn content(node: &Node, key: &str, cx: &mut Cx<'_>) -> Given<Content> {
    let mark = node.mark;
    let Some(text) = read::text(node, key, &mut cx.findings) else {
        return Given::Broken(mark);
    };
    // A URL would pass as an odd name of a relation, and its password would be in every message.
    if looks_like_url(&text) {
        let hint = "write `{connection: URL, value: …}`, or name a connection under connections";
        cx.findings.add(mark, format!("{key} is a URL, which belongs into connection"), hint);
        return Given::Broken(mark);
    }
    Given::Is(Content::Value { text, shown: node.describe() }, mark)
}

fn looks_like_url(text: &str) -> bool {
    let scheme = text.trim_start().split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|s| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)))
}

/// The text of a SQL file, relative to the file that names it, and its place. Variables of the environment are not
/// expanded in it: it is SQL as it stands.
fn sql_file(node: &Node, cx: &mut Cx<'_>) -> Option<(Content, Mark)> {
    let name = read::text(node, "sql_file", &mut cx.findings)?;
    let path = cx.base(node.mark).join(&name);
    let problem = match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => "it is empty".to_string(),
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_string();
            let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
            let file = cx.file(&path, &folder);
            cx.included.push(path);
            return Some((Content::Sql(text), Mark { file, line: 1, column: 1 }));
        }
        Err(error) => error.to_string(),
    };
    let message = format!("cannot read sql_file {}: {problem}", node.describe());
    let hint = format!("the path starts at the folder of this file, {}", cx.base(node.mark).display());
    cx.findings.add(node.mark, message, hint);
    None
}
