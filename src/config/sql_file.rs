//! A pipeline that is a SQL file: one SELECT for each stream, and YAML in comments that say where it goes.
//!
//! ```sql
//! /* dxt
//! connections: {shop: "postgresql://…", warehouse: "sqlite:///warehouse.db"}
//! target: {connection: warehouse}
//! */
//!
//! -- dxt: {id: orders, target: orders, keys: [order_id], mode: upsert, watermark: updated_at}
//! SELECT * FROM shop.public.orders;
//!
//! -- dxt: {id: big_spenders, target: big_spenders, mode: replace}
//! SELECT customer_id, sum(amount) AS spent FROM shop.public.orders GROUP BY customer_id;
//! ```
//!
//! A block is a comment `/* dxt … */`, or lines that begin with `-- dxt:`. The first one is the pipeline's, unless it has
//! an `id`; each other one belongs to the SELECT that follows it. In a file of one SELECT and one block, the block is both.
//! The file is made into the tree that the same pipeline would have in YAML, so that all keys, checks and errors are the
//! same ones.

use super::findings::{Findings, Mark};
use super::infer;
use super::node::{self, Entry, Node, Scalar, Value};
use super::read::{Fields, shown};
use super::split::{Kind, Piece, split};

/// Keys of the pipeline's block, where streams have their own.
const HEADER_KEYS: [&str; 13] = [
    "version",
    "name",
    "description",
    "connections",
    "vars",
    "source",
    "target",
    "buffer",
    "extract",
    "load",
    "retries",
    "retry_wait",
    "tags",
];
/// Keys that only a pipeline has.
const PIPELINE_ONLY: [&str; 5] = ["version", "name", "connections", "vars", "buffer"];
/// Keys of a stream's block. `source` has no value there: that is the SELECT.
const STREAM_KEYS: [&str; 19] = [
    "id",
    "description",
    "tags",
    "source",
    "target",
    "criteria",
    "fields",
    "extract",
    "load",
    "retries",
    "retry_wait",
    // Short forms, each for one key of a map.
    "mode",
    "keys",
    "upsert_keys",
    "watermark",
    "watermark_field",
    "lookback",
    "connection",
    "type",
];

const FORM: &str = "write `/* dxt`, YAML, and `*/` before the SELECT, or YAML in lines that begin with `-- dxt:`";

/// YAML in a comment.
struct Block {
    mark: Mark,
    entries: Vec<Entry>,
}

impl Block {
    fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

/// A SELECT and the blocks before it.
struct Statement<'a> {
    sql: &'a str,
    mark: Mark,
    blocks: Vec<Block>,
}

/// The tree of the pipeline that a file is. `None` where it is none; what is wrong is in `findings` either way. `stem` is
/// the file's name without its extension: the name of the pipeline, and of a stream that is alone.
pub(super) fn tree(text: &str, file: usize, stem: &str, findings: &mut Findings) -> Option<Node> {
    let mut statements = gather(text, file, findings)?;
    let alone = statements.len() == 1;
    let first = statements.first_mut()?;
    let top = Mark { file, line: 1, column: 1 };
    let is_header = first.blocks.len() == 2 || alone || first.blocks.first().is_some_and(|block| !block.has("id"));
    let header = (is_header && !first.blocks.is_empty()).then(|| first.blocks.remove(0));
    if header.is_none() && alone {
        findings.add(first.mark, "no dxt block says where the rows of this SELECT go", FORM);
        return None;
    }
    let header = header.unwrap_or(Block { mark: top, entries: Vec::new() });
    let merged = alone && first.blocks.is_empty();
    let mark = header.mark;
    let (mut pipeline, mut shared) = if merged {
        known(&header, &[&PIPELINE_ONLY[..], &STREAM_KEYS[..]].concat(), findings);
        let (of_pipeline, of_stream): (Vec<Entry>, _) =
            header.entries.into_iter().partition(|entry| PIPELINE_ONLY.contains(&entry.key.as_str()));
        first.blocks.push(Block { mark, entries: of_stream });
        (of_pipeline, Vec::new())
    } else {
        belongs(&header, findings);
        let (tags, entries) = header.entries.into_iter().partition(|entry| entry.key == "tags");
        (entries, tags)
    };
    let source = pipeline.iter().find(|entry| entry.key == "source").map(|entry| entry.value.clone());
    let name = |key: &str, value: &str| entry(key, mark, scalar(value, mark));
    let streams = statements
        .into_iter()
        .filter_map(|statement| {
            let default = alone.then(|| name("id", stem));
            stream(statement, default, source.as_ref(), &mut shared, findings)
        })
        .collect();
    if !pipeline.iter().any(|entry| entry.key == "name") {
        pipeline.push(name("name", stem));
    }
    if !pipeline.iter().any(|entry| entry.key == "version") {
        let value = Value::Scalar(Scalar::new("1".into(), true));
        pipeline.push(entry("version", mark, Node { mark, value }));
    }
    pipeline.retain(|entry| entry.key != "streams");
    pipeline.push(entry("streams", mark, Node { mark, value: Value::List(streams) }));
    Some(Node { mark, value: Value::Map(pipeline) })
}

fn entry(key: &str, key_mark: Mark, value: Node) -> Entry {
    Entry { key: key.to_string(), key_mark, value }
}

/// A text in which `${` is no variable of the environment.
fn scalar(text: &str, mark: Mark) -> Node {
    Node { mark, value: Value::Scalar(Scalar::new(text.replace("${", "$${"), false)) }
}

/// Reports keys that a block does not have.
fn known(block: &Block, keys: &[&'static str], findings: &mut Findings) {
    let node = Node { mark: block.mark, value: Value::Map(block.entries.clone()) };
    Fields::open(&node, "a dxt block", keys, findings);
}

/// Reports what stands in the pipeline's block and belongs to one SELECT.
fn belongs(header: &Block, findings: &mut Findings) {
    let (strays, rest): (Vec<&Entry>, Vec<&Entry>) = header.entries.iter().partition(|entry| {
        let key = entry.key.as_str();
        STREAM_KEYS.contains(&key) && !HEADER_KEYS.contains(&key)
    });
    for stray in strays {
        let message = format!("{} belongs to one SELECT, and this block is the pipeline's", stray.key);
        let hint = "give the SELECT a block of its own, right before it: `-- dxt: {id: …, target: …}`";
        findings.add(stray.key_mark, message, hint);
    }
    let rest = Block { mark: header.mark, entries: rest.into_iter().cloned().collect() };
    known(&rest, &HEADER_KEYS, findings);
}

/// The tree of a stream. `id` is what it is called where its block does not say; `shared` are the tags of all.
fn stream(
    statement: Statement<'_>,
    id: Option<Entry>,
    default: Option<&Node>,
    shared: &mut [Entry],
    findings: &mut Findings,
) -> Option<Node> {
    let mut blocks = statement.blocks.into_iter();
    let Some(block) = blocks.next() else {
        let hint = "put `-- dxt: {id: …, target: …}` right before it: in a file of several SELECTs each has a block";
        findings.add(statement.mark, "this SELECT has no dxt block", hint);
        return None;
    };
    if let Some(second) = blocks.next() {
        findings.add(second.mark, "a second dxt block for one SELECT", "put all of it into one block");
    }
    known(&block, &STREAM_KEYS, findings);
    let mark = block.mark;
    let mut entries = block.entries;
    if let Some(id) = id.filter(|_| !entries.iter().any(|entry| entry.key == "id")) {
        entries.push(id);
    }
    if let Some(tags) = shared.first() {
        add_tags(&mut entries, tags);
    }
    let mut entries = written_out(entries, findings);
    let source = source(&mut entries, statement.sql, statement.mark, default, findings);
    entries.extend(source);
    Some(Node { mark, value: Value::Map(entries) })
}

/// The tags of all streams, before those of one.
fn add_tags(entries: &mut Vec<Entry>, tags: &Entry) {
    let items = |node: Node| match node.value {
        Value::List(items) => items,
        _ => vec![node],
    };
    match entries.iter_mut().find(|entry| entry.key == "tags") {
        Some(own) => {
            let all = items(tags.value.clone()).into_iter().chain(items(own.value.clone())).collect();
            own.value.value = Value::List(all);
        }
        None => entries.push(tags.clone()),
    }
}

/// Puts short forms into the maps that they are short for.
fn written_out(entries: Vec<Entry>, findings: &mut Findings) -> Vec<Entry> {
    let (short, mut entries): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| long_form(entry).is_some());
    for entry in short {
        let Some((map, key)) = long_form(&entry) else { continue };
        let watermark = entry.key == "watermark";
        let mark = entry.key_mark;
        put(&mut entries, map, Entry { key: key.to_string(), ..entry }, true, findings);
        if watermark {
            let mode = scalar("incremental", mark);
            put(&mut entries, map, self::entry("mode", mark, mode), false, findings);
        }
    }
    entries
}

/// The map and the key in it that a short form stands for.
fn long_form(entry: &Entry) -> Option<(&'static str, &'static str)> {
    Some(match entry.key.as_str() {
        // The words of the two modes differ.
        "mode" => match &entry.value.value {
            Value::Scalar(mode) if matches!(mode.text.as_str(), "full" | "incremental") => ("extract", "mode"),
            _ => ("load", "mode"),
        },
        "keys" | "upsert_keys" => ("load", "upsert_keys"),
        "watermark" | "watermark_field" => ("extract", "watermark_field"),
        "lookback" => ("extract", "lookback"),
        "connection" => ("source", "connection"),
        "type" => ("source", "type"),
        _ => return None,
    })
}

/// Adds a key to a map, which is made where it is not there. What the map has already stays; it is reported where the
/// key is one that a person has written.
fn put(entries: &mut Vec<Entry>, map: &str, new: Entry, written: bool, findings: &mut Findings) {
    let mark = new.key_mark;
    let Some(there) = entries.iter_mut().find(|entry| entry.key == map) else {
        entries.push(entry(map, mark, Node { mark, value: Value::Map(vec![new]) }));
        return;
    };
    // Anything else is reported when it is read.
    let Value::Map(keys) = &mut there.value.value else { return };
    match keys.iter().find(|entry| entry.key == new.key) {
        None => keys.push(new),
        Some(first) if written => {
            let message = format!("{} of {map} stands twice", new.key);
            findings.add(mark, message, format!("it stands in line {} already: remove one", first.key_mark.line));
        }
        Some(_) => {}
    }
}

/// The source: the SELECT, by dxt, or by the system where a connection or `type: sql` is named.
fn source(
    entries: &mut Vec<Entry>,
    sql: &str,
    mark: Mark,
    default: Option<&Node>,
    findings: &mut Findings,
) -> Option<Entry> {
    let at = entries.iter().position(|entry| entry.key == "source");
    let (key_mark, mut keys) = match at.map(|at| entries.remove(at)) {
        None => (mark, Vec::new()),
        Some(Entry { key_mark, value: Node { value: Value::Map(keys), .. }, .. }) => (key_mark, keys),
        Some(other) => {
            let hint = "write `connection: NAME` for SQL that this system runs as it stands, or nothing";
            let message = format!("source is the SELECT below, not {}", other.value.describe());
            findings.add(other.value.mark, message, hint);
            (other.key_mark, Vec::new())
        }
    };
    for stray in keys.iter().filter(|entry| matches!(entry.key.as_str(), "value" | "sql" | "sql_file")) {
        let message = format!("{} has no place here: the source is the SELECT below", shown(&stray.key));
        findings.add(stray.key_mark, message, "remove it, or write the stream in YAML");
    }
    keys.retain(|entry| !matches!(entry.key.as_str(), "value" | "sql" | "sql_file"));
    let has = |keys: &[Entry], key: &str| keys.iter().any(|entry| entry.key == key && !entry.value.is_null());
    let of_default = |key: &str| default.and_then(|node| node.entry(key)).cloned();
    if !has(&keys, "type") && !has(&keys, "connection") {
        keys.extend(of_default("type"));
    }
    if !has(&keys, "type") {
        let by_system = has(&keys, "connection") || default.is_some_and(names_connection);
        keys.push(entry("type", mark, scalar(if by_system { "sql" } else { "query" }, mark)));
    }
    let kind = keys.iter().find(|entry| entry.key == "type").map(|entry| &entry.value);
    match kind.map(|node| (&node.value, node)) {
        Some((Value::Scalar(kind), node)) if matches!(kind.text.as_str(), "relation" | "file") => {
            let hint = "`type: query` is SQL that dxt runs, and `type: sql` SQL that the system runs as it stands";
            findings.add(node.mark, format!("a SELECT is no {}", kind.text), hint);
            return None;
        }
        Some((Value::Scalar(kind), _)) if kind.text == "query" => {
            if let Some(named) = keys.iter().find(|entry| entry.key == "connection" && !entry.value.is_null()) {
                let hint = "name it in the SELECT (`connection.schema.table`), or write `type: sql` for SQL that it runs as it stands";
                findings.add(named.key_mark, "a query of dxt has no connection of its own", hint);
            }
        }
        _ => {}
    }
    keys.push(entry("sql", mark, scalar(sql, mark)));
    Some(entry("source", key_mark, Node { mark: key_mark, value: Value::Map(keys) }))
}

/// Whether a pipeline's `source` names a connection.
fn names_connection(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => !node.is_null(),
        _ => node.entry("connection").is_some_and(|entry| !entry.value.is_null()),
    }
}

/// The SELECTs of a file with the blocks before them. `None` where there are none, or where they cannot be told apart.
fn gather<'a>(text: &'a str, file: usize, findings: &mut Findings) -> Option<Vec<Statement<'a>>> {
    let (pieces, unclosed) = split(text);
    let mut place = Place { text, file, at: 0, line: 1, column: 1 };
    if let Some(unclosed) = unclosed {
        let hint = match unclosed.what.contains("/*") {
            true => {
                "add `*/`; a `/*` within it, as in the glob `in/*.csv`, opens another one: write that in lines of `-- dxt:`"
            }
            false => "close it; a quote within a text in quotes is written twice",
        };
        findings.add(place.mark(unclosed.at), format!("a {} is not closed", unclosed.what), hint);
        return None;
    }
    let mut statements: Vec<Statement<'a>> = Vec::new();
    // The blocks and the SQL since the last `;`.
    let (mut blocks, mut sql): (Vec<Block>, Option<(usize, usize, Mark)>) = (Vec::new(), None);
    let (mut failed, mut index) = (false, 0);
    while let Some(piece) = pieces.get(index) {
        index += 1;
        match piece.kind {
            Kind::Space => {}
            Kind::Sql => {
                let end = piece.at + piece.text.len();
                match &mut sql {
                    Some((_, last, _)) => *last = end,
                    None => sql = Some((piece.at, end, place.mark(piece.at))),
                }
            }
            Kind::LineComment | Kind::BlockComment => {
                let Some((yaml, used)) = yaml(&pieces[index - 1..], &mut place) else { continue };
                index += used - 1;
                let mark = yaml.mark;
                match (&sql, yaml.parse(findings)) {
                    (Some(_), _) => {
                        let hint = "put it before the SELECT that it belongs to; is a `;` missing before it?";
                        findings.add(mark, "a dxt block within a statement", hint);
                        failed = true;
                    }
                    (None, Some(block)) => blocks.push(block),
                    (None, None) => failed = true,
                }
            }
            Kind::End => end(text, sql.take(), &mut blocks, &mut statements),
        }
    }
    end(text, sql, &mut blocks, &mut statements);
    for block in &blocks {
        findings.add(block.mark, "no SELECT follows this dxt block", "write the SELECT behind it, or remove it");
    }
    for statement in statements.iter().filter(|s| !infer::begins_with_query(s.sql) && !s.sql.starts_with('(')) {
        let word: String = statement.sql.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(30).collect();
        let what = if word.is_empty() { "this".to_string() } else { word };
        let hint =
            "a file has one SELECT (or WITH … SELECT) for each stream; tables are changed by the streams themselves";
        findings.add(statement.mark, format!("{what} is no SELECT"), hint);
        failed = true;
    }
    if statements.is_empty() && blocks.is_empty() && !failed {
        findings.add(Mark { file, line: 1, column: 1 }, "the file has no SELECT", FORM);
    }
    (!failed && blocks.is_empty() && !statements.is_empty()).then_some(statements)
}

/// Ends a statement. Blocks without SQL wait for the next one.
fn end<'a>(
    text: &'a str,
    sql: Option<(usize, usize, Mark)>,
    blocks: &mut Vec<Block>,
    statements: &mut Vec<Statement<'a>>,
) {
    if let Some((from, to, mark)) = sql {
        statements.push(Statement { sql: &text[from..to], mark, blocks: std::mem::take(blocks) });
    }
}

/// Where offsets of a text are, asked in their order.
struct Place<'a> {
    text: &'a str,
    file: usize,
    at: usize,
    line: usize,
    column: usize,
}

impl Place<'_> {
    fn mark(&mut self, at: usize) -> Mark {
        for c in self.text[self.at..at].chars() {
            match c {
                '\n' => (self.line, self.column) = (self.line + 1, 1),
                _ => self.column += 1,
            }
        }
        self.at = at;
        Mark { file: self.file, line: self.line, column: self.column }
    }
}

/// The YAML of a comment, with its lines as far from the left as in the file.
struct Yaml {
    mark: Mark,
    text: String,
}

impl Yaml {
    fn parse(&self, findings: &mut Findings) -> Option<Block> {
        let Mark { file, line, .. } = self.mark;
        if self.text.trim().is_empty() {
            return Some(Block { mark: self.mark, entries: Vec::new() });
        }
        let node = node::parse_from(&self.text, file, line - 1, findings)?;
        match node.value {
            Value::Map(entries) => Some(Block { mark: self.mark, entries }),
            _ => {
                let message = format!("a dxt block must be a map, not {}", node.describe());
                findings.add(node.mark, message, "write `key: value` on each line");
                None
            }
        }
    }
}

/// The YAML of the comment that is first in `pieces`, and how many pieces it takes; `None` where it is another comment.
fn yaml(pieces: &[Piece<'_>], place: &mut Place<'_>) -> Option<(Yaml, usize)> {
    let first = pieces.first()?;
    if first.kind == Kind::BlockComment {
        let inner = first.text.strip_prefix("/*")?.strip_suffix("*/")?;
        let yaml = block_yaml(inner)?;
        let mark = place.mark(first.at);
        let begin = place.mark(first.at + first.text.len() - "*/".len() - yaml.len());
        // The lines of the comment before the YAML.
        let above = "\n".repeat(begin.line - mark.line);
        let text = format!("{above}{}{yaml}", " ".repeat(begin.column - 1));
        return Some((Yaml { mark, text }, 1));
    }
    let (mut text, mut mark, mut used) = (String::new(), None, 0);
    while let Some(piece) = pieces.get(used).filter(|piece| piece.kind == Kind::LineComment) {
        let Some(yaml) = line_yaml(piece.text) else { break };
        let begin = place.mark(piece.at);
        mark.get_or_insert(begin);
        let left = begin.column - 1 + piece.text.chars().count() - yaml.chars().count();
        text += &format!("{}{yaml}\n", " ".repeat(left));
        used += 1;
        // A line right below goes on.
        match (pieces.get(used), pieces.get(used + 1)) {
            (Some(space), Some(line))
                if space.kind == Kind::Space
                    && space.text.matches('\n').count() == 1
                    && line.kind == Kind::LineComment
                    && line_yaml(line.text).is_some() =>
            {
                used += 1;
            }
            _ => break,
        }
    }
    mark.map(|mark| (Yaml { mark, text }, used))
}

/// What follows `dxt:` in a line's comment.
fn line_yaml(comment: &str) -> Option<&str> {
    comment.strip_prefix("--")?.trim_start().strip_prefix("dxt:")
}

/// What follows the word `dxt` of a block comment: nothing more on its line, or YAML. Prose that begins with the word is
/// none.
fn block_yaml(inner: &str) -> Option<&str> {
    let rest = inner.trim_start().strip_prefix("dxt")?;
    let (rest, colon) = rest.strip_prefix(':').map_or((rest, false), |rest| (rest, true));
    let line = rest.lines().next().unwrap_or_default();
    if !colon && line.starts_with(|c: char| !c.is_whitespace() && c != '{') {
        return None;
    }
    let line = line.trim();
    let is_key = || {
        let word = line.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        word.len() < line.len() && (word == ":" || word.starts_with(": "))
    };
    (colon || line.is_empty() || line.starts_with(['{', '#']) || is_key()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let mut findings = Findings::default();
        let file = findings.file(std::path::Path::new("f.sql"));
        let node = tree(text, file, "f", &mut findings);
        match findings.finish() {
            Ok(()) => Ok(node.expect("a tree, where nothing is wrong")),
            Err(error) => Err(error.diagnostics().iter().map(|d| format!("{d}\n")).collect()),
        }
    }

    #[test]
    fn comments_that_only_mention_dxt_are_comments() {
        for comment in ["dxt runs this nightly", "dxtra: 1", "about dxt", "dxt", " the dxt: block"] {
            assert_eq!(line_yaml(&format!("-- {comment}")), None, "{comment}");
        }
        for comment in [" dxt runs this nightly ", " dxtra\na: 1 ", " a dxt\n", " dxt note of 9:30 "] {
            assert_eq!(block_yaml(comment), None, "{comment}");
        }
        for comment in [" dxt\na: 1\n", "dxt {a: 1}", " dxt a: 1 ", "dxt: a: 1", "dxt:\n", "\n  dxt\n  a: 1\n", " dxt "]
        {
            assert!(block_yaml(comment).is_some(), "{comment}");
        }
    }

    #[test]
    fn places_are_those_of_the_file() {
        let found = read("/* dxt\ntarget: t\n   x: [\n*/\nSELECT 1").unwrap_err();
        assert!(found.starts_with("f.sql:3:"), "{found}");
        let found = read("-- é\n  -- dxt: {target: t, upsert_kyes: [a]}\nSELECT 1").unwrap_err();
        assert!(found.starts_with("f.sql:2:23: unknown key upsert_kyes … did you mean upsert_keys?"), "{found}");
        let found = read("-- dxt: target: t\n-- dxt: nope: 1\nSELECT 1").unwrap_err();
        assert!(found.starts_with("f.sql:2:9: unknown key nope"), "{found}");
        let found = read("/* dxt nope: 1 */ SELECT 1").unwrap_err();
        assert!(found.starts_with("f.sql:1:8: unknown key nope"), "{found}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

        /// Whatever a file holds, it is a tree or an error with a place, and its SELECTs come out as they stand in it.
        #[test]
        fn any_file_is_a_tree_or_an_error_with_a_place(
            parts in prop::collection::vec(prop::sample::select(vec![
                "/* dxt\n", "/* dxt", "*/", "-- dxt: ", "-- dxt: {id: a, target: t}\n", "target: t\n", "id: b\n", "{", "}", "SELECT 1",
                "SELECT ';'", ";", "\n", " ", "'", "\"", "$$", "/*", "--", "é", "WITH x AS (SELECT 1) SELECT * FROM x", "tags: [a]\n",
                "source: {connection: c}\n", "type: sql\n", "mode: replace\n", "load: {mode: append}\n", "${A}", "- ", ": ", "\t", "INSERT",
            ]), 0..14)
        ) {
            let text = parts.concat();
            match read(&text) {
                Err(found) => prop_assert!(found.lines().all(|line| line.starts_with("f.sql:")), "{}", found),
                Ok(tree) => {
                    let streams = &tree.entry("streams").unwrap().value.value;
                    let Value::List(streams) = streams else { panic!("a list") };
                    let mut from = 0;
                    for stream in streams {
                        let sql = &stream.entry("source").unwrap().value.entry("sql").unwrap().value;
                        let Value::Scalar(sql) = &sql.value else { panic!("a text") };
                        let sql = sql.text.replace("$${", "${");
                        let at = text[from..].find(&sql).expect("the SELECT as it stands, in order");
                        from += at + sql.len();
                    }
                }
            }
        }
    }
}
