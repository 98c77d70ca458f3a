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

use super::decode::FILE_KEYS;
use super::findings::{Findings, Mark};
use super::node::{Entry, Node, Scalar, Value};
use super::read::{Fields, shown};
use super::sql_blocks::{Block, FORM, Statement, gather};

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
    let (mut pipeline, shared) = if merged {
        known(&header, &[&PIPELINE_ONLY[..], &STREAM_KEYS[..]].concat(), findings);
        let (of_pipeline, of_stream): (Vec<Entry>, _) =
            header.entries.into_iter().partition(|entry| PIPELINE_ONLY.contains(&entry.key.as_str()));
        first.blocks.push(Block { mark, entries: of_stream });
        (of_pipeline, Vec::new())
    } else {
        let header = belonging(header, findings);
        let (tags, entries) = header.entries.into_iter().partition(|entry| entry.key == "tags");
        (entries, tags)
    };
    let source = pipeline.iter().find(|entry| entry.key == "source").map(|entry| entry.value.clone());
    let name = |key: &str, value: &str| entry(key, mark, scalar(value, mark));
    let streams: Vec<Node> = statements
        .into_iter()
        .filter_map(|statement| {
            let default = alone.then(|| name("id", stem));
            stream(statement, default, source.as_ref(), &shared, findings)
        })
        .collect();
    if streams.is_empty() {
        // Each of them has been reported.
        return None;
    }
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

/// The pipeline's block without what belongs to one SELECT, which is reported.
fn belonging(header: Block, findings: &mut Findings) -> Block {
    let keys = [&FILE_KEYS[..], &["tags"]].concat();
    let (strays, entries): (Vec<Entry>, Vec<Entry>) = header.entries.into_iter().partition(|entry| {
        let key = entry.key.as_str();
        STREAM_KEYS.contains(&key) && !keys.contains(&key)
    });
    for stray in strays {
        let message = format!("{} belongs to one SELECT, and this block is the pipeline's", stray.key);
        let hint = "give the SELECT a block of its own, right before it: `-- dxt: {id: …, target: …}`";
        findings.add(stray.key_mark, message, hint);
    }
    let header = Block { mark: header.mark, entries };
    known(&header, &keys, findings);
    header
}

/// The tree of a stream. `id` is what it is called where its block does not say; `shared` are the tags of all.
fn stream(
    statement: Statement<'_>,
    id: Option<Entry>,
    default: Option<&Node>,
    shared: &[Entry],
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
    entries.push(source);
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
fn source(entries: &mut Vec<Entry>, sql: &str, mark: Mark, default: Option<&Node>, findings: &mut Findings) -> Entry {
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
    let kind = keys.iter().find(|entry| entry.key == "type").map(|entry| (entry.value.describe(), entry.value.mark));
    match kind {
        Some((kind, at)) if kind == "`relation`" || kind == "`file`" => {
            let hint = "`type: query` is SQL that dxt runs, and `type: sql` SQL that the system runs as it stands";
            findings.add(at, format!("a SELECT is no {}", kind.trim_matches('`')), hint);
            // Nothing follows from a type that is wrong.
            keys.retain(|entry| entry.key != "type");
            keys.push(entry("type", at, scalar("query", at)));
        }
        Some((kind, _)) if kind == "`query`" => {
            if let Some(named) = keys.iter().find(|entry| entry.key == "connection" && !entry.value.is_null()) {
                let hint = "name it in the SELECT (`connection.schema.table`), or write `type: sql` for SQL that it runs as it stands";
                findings.add(named.key_mark, "a query of dxt has no connection of its own", hint);
            }
        }
        _ => {}
    }
    keys.push(entry("sql", mark, scalar(sql, mark)));
    entry("source", key_mark, Node { mark: key_mark, value: Value::Map(keys) })
}

/// Whether a pipeline's `source` names a connection.
fn names_connection(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => !node.is_null(),
        _ => node.entry("connection").is_some_and(|entry| !entry.value.is_null()),
    }
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
