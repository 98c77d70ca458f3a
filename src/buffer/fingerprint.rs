//! What an extract depends on, as named texts and a hash: a buffer is loaded by the pipeline that would extract it again
//! just so, and by no other.
//!
//! The source, the fields, the criteria, the variables that these name and the mode are in it. What only the load looks at (the target, the target's
//! names of fields, keys) is not: it may change between the two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    ConnectionConfig, ExtractMode, FieldSource, FieldSpec, Generator, Lookback, Pipeline, SourceKind, Stream,
};
use crate::plan::params;

/// What an extract depended on. Free of secrets: URLs are without users and parameters, options whose names speak of
/// secrets are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The BLAKE3 hash of the pieces, in hex.
    pub hash: String,
    /// Each thing by its name: `criteria`, `field total`.
    pub pieces: BTreeMap<String, String>,
}

impl Fingerprint {
    /// The fingerprint of a stream's extract.
    pub fn of(pipeline: &Pipeline, stream: &Stream) -> Self {
        let mut pieces = BTreeMap::new();
        let mut put = |name: &str, text: String| {
            pieces.insert(name.to_string(), text);
        };
        let (kind, source) = match &stream.source.kind {
            SourceKind::Relation(name) => ("relation", name.to_string()),
            SourceKind::Sql(sql) => ("sql", without_secrets(sql)),
            SourceKind::Query(sql) => ("query", without_secrets(sql)),
            SourceKind::File(path) => ("file", without_secrets(path)),
        };
        put("source", format!("{kind} {source}"));
        if !matches!(stream.source.kind, SourceKind::Query(_)) {
            let connection = pipeline.connection(&stream.source.connection);
            put("connection", connection.map_or_else(|| stream.source.connection.clone(), place));
        }
        for (name, value) in stream.source.options.iter().filter(|(name, _)| !secret(name)) {
            put(&format!("source option {name}"), without_secrets(&value.to_string()));
        }
        if !stream.fields.is_empty() {
            let ids: Vec<&str> = stream.fields.iter().map(|f| f.id.as_str()).collect();
            put("fields", ids.join(", "));
            stream.fields.iter().for_each(|spec| put(&format!("field {}", spec.id), field(spec)));
        }
        if let Some(criteria) = &stream.criteria {
            criteria.filter.iter().for_each(|filter| put("criteria", filter.clone()));
            criteria.limit.iter().for_each(|limit| put("limit", limit.to_string()));
        }
        for (name, param) in params::of_stream(stream, &pipeline.params) {
            let dtype = param.dtype.map_or(String::new(), |dtype| format!("{dtype} "));
            let value = without_secrets(param.value.as_deref().unwrap_or_default());
            put(&format!("variable {name}"), format!("{dtype}{value}"));
        }
        let extract = &stream.extract;
        put("extract mode", if extract.mode == ExtractMode::Full { "full" } else { "incremental" }.into());
        if extract.mode == ExtractMode::Incremental {
            extract.watermark_field.iter().for_each(|field| put("watermark field", field.clone()));
            match extract.lookback {
                Some(Lookback::Duration(time)) => put("lookback", format!("{}s", time.as_secs())),
                Some(Lookback::Count(count)) => put("lookback", count.to_string()),
                None => {}
            }
        }
        Self { hash: hash(&pieces), pieces }
    }

    /// Checks that an extract of `now` would be this one again.
    ///
    /// # Errors
    /// Buffer: it would not, with what has changed.
    pub fn check_unchanged(&self, now: &Self) -> Result<()> {
        if *self == *now {
            return Ok(());
        }
        let names = self.pieces.keys().chain(now.pieces.keys().filter(|name| !self.pieces.contains_key(*name)));
        let changes = names.filter_map(|name| match (self.pieces.get(name), now.pieces.get(name)) {
            (Some(was), Some(is)) if was != is => {
                let from = apart(was, is);
                Some(format!("{name} was `{}` and is `{}`", shown(was, from), shown(is, from)))
            }
            (Some(was), None) => Some(format!("{name} was `{}` and is gone", shown(was, 0))),
            (None, Some(is)) => Some(format!("{name} is new: `{}`", shown(is, 0))),
            _ => None,
        });
        let mut changes: Vec<String> = changes.collect();
        if changes.is_empty() {
            // The hash is that of the pieces wherever dxt wrote both.
            changes.push("the hash in the buffer's manifest is not that of its pieces".into());
        }
        let text = format!("the pipeline has changed since the extract: {}", changes.join("; "));
        Err(Error::new(ErrorKind::Buffer, text).with_hint("`dxt extract` again, or take the change back for this load"))
    }
}

fn hash(pieces: &BTreeMap<String, String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in pieces.iter().flat_map(|(name, text)| [name, text]) {
        // Lengths before the texts: no text can pass for another's end.
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A field as the extract sees it.
fn field(spec: &FieldSpec) -> String {
    let mut text = match (&spec.generator, &spec.source) {
        (Some(generator), _) => {
            let name = Generator::ALL.iter().find(|(_, known)| known == generator).map_or("dxt", |(name, _)| name);
            format!("generator {name}")
        }
        (None, Some(FieldSource::Expression(sql))) => format!("expression {sql}"),
        (None, Some(FieldSource::Column(name))) => format!("column {name}"),
        (None, None) => format!("column {}", spec.id),
    };
    if let Some(dtype) = spec.dtype {
        text += &format!(", dtype {dtype}");
    }
    if let Some(precision) = spec.precision {
        text += &format!(", precision {precision}");
    }
    if let Some(scale) = spec.scale {
        text += &format!(", scale {scale}");
    }
    if let Some(nullable) = spec.nullable {
        text += &format!(", nullable {nullable}");
    }
    text
}

/// A connection's kind and place.
fn place(config: &ConnectionConfig) -> String {
    const PLACES: [&str; 7] = ["host", "port", "database", "path", "bucket", "container", "endpoint"];
    let mut text = config.redacted();
    for name in PLACES {
        if let Some(value) = config.fields.get(name) {
            text += &format!(" {name}={}", without_secrets(&value.to_string()));
        }
    }
    text
}

/// Whether an option's name speaks of a secret.
fn secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "key", "credential", "auth", "sas"].iter().any(|word| name.contains(word))
}

/// The text with each URL in it without its user and its parameters.
pub(super) fn without_secrets(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`')).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        out += before;
        out += bare(url);
        rest = after;
    }
    out + rest
}

/// What stands behind a URL's `://`, without user and parameters.
fn bare(rest: &str) -> &str {
    // A password may hold what should have been escaped: all up to the last `@` counts as one.
    let rest = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
    rest.split(['?', '#']).next().unwrap_or_default()
}

/// Where two texts begin to differ, in characters.
fn apart(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// A text for an error: where it is long, the part around `from`.
fn shown(text: &str, from: usize) -> String {
    const MOST: usize = 120;
    let count = text.chars().count();
    if count <= MOST {
        return text.to_string();
    }
    let begin = from.saturating_sub(30).min(count - MOST);
    let part: String = text.chars().skip(begin).take(MOST).collect();
    let (before, after) = (if begin > 0 { "…" } else { "" }, if begin + MOST < count { "…" } else { "" });
    format!("{before}{part}{after}")
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;
    use crate::model::{Criteria, DxtSchema, ExtractConfig, LoadConfig, Source, Target, TypeName};

    fn pipeline(url: &str, stream: Stream) -> Pipeline {
        let built = Pipeline::builder("p").connection("db", "sqlite:///t.db").connection("shop", url);
        built.stream(stream).build().unwrap()
    }

    fn stream() -> Stream {
        Stream::new("s", Source::sql("shop", "SELECT 1"), Target::relation("db", "t").unwrap())
            .with_fields([FieldSpec::new("id"), FieldSpec::new("v")])
    }

    fn of(stream: Stream) -> Fingerprint {
        let pipeline = pipeline("postgresql://me:hush@host:5432/shop", stream);
        Fingerprint::of(&pipeline, &pipeline.streams[0])
    }

    #[test]
    fn what_the_load_alone_looks_at_is_no_change() {
        let mut renamed = stream().with_load(LoadConfig::upsert(["id"]));
        renamed.target = Target::relation("db", "other").unwrap();
        renamed.fields[1].target.name = Some("amount".into());
        assert!(of(stream()).check_unchanged(&of(renamed)).is_ok());
    }

    #[test]
    fn each_change_is_named_as_it_was_and_is() {
        let mut cast = stream();
        cast.fields[1].dtype = Some(TypeName::String);
        let mut source = stream();
        source.source = Source::sql("shop", "SELECT 2");
        let incremental = stream().with_extract(ExtractConfig::incremental("v"));
        for (changed, said) in [
            (stream().with_filter("v > 2"), "criteria is new: `v > 2`"),
            (cast, "field v was `column v` and is `column v, dtype string`"),
            (stream().with_fields([FieldSpec::new("id")]), "field v was `column v` and is gone"),
            (stream().with_fields([FieldSpec::new("v"), FieldSpec::new("id")]), "fields was `id, v` and is `v, id`"),
            (source, "source was `sql SELECT 1` and is `sql SELECT 2`"),
            (incremental, "extract mode was `full` and is `incremental`"),
        ] {
            let error = of(stream()).check_unchanged(&of(changed)).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let on = |day: &str, criteria: &str| {
            let built = Pipeline::builder("p").connection("db", "sqlite:///t.db");
            let built = built.connection("shop", "postgresql://me@h/shop").param("day", day).param("other", day);
            let pipeline = built.stream(stream().with_filter(criteria)).build().unwrap();
            Fingerprint::of(&pipeline, &pipeline.streams[0])
        };
        let error = on("2026-01-01", "v = $day").check_unchanged(&on("2026-01-02", "v = $day")).unwrap_err();
        assert!(error.to_string().contains("variable day was `2026-01-01` and is `2026-01-02`"), "{error}");
        assert!(!error.to_string().contains("other"), "a variable that it does not name is of no account: {error}");
        assert!(on("2026-01-01", "v > 1").check_unchanged(&on("2026-01-02", "v > 1")).is_ok());
        let moved = pipeline("postgresql://me@elsewhere/shop", stream());
        let error = of(stream()).check_unchanged(&Fingerprint::of(&moved, &moved.streams[0])).unwrap_err();
        assert!(error.to_string().contains("host:5432/shop` and is `postgresql://elsewhere/shop`"), "{error}");
    }

    #[test]
    fn a_change_far_within_a_long_text_is_shown() {
        let long = |value: &str| {
            let filter = format!("{}v = {value}{}", "a = 1 AND ".repeat(100), " AND b = 2".repeat(100));
            let mut stream = stream();
            stream.criteria = Some(Criteria { filter: Some(filter), limit: None });
            of(stream)
        };
        let error = long("17").check_unchanged(&long("42")).unwrap_err().to_string();
        assert!(error.contains("v = 17") && error.contains("v = 42") && error.len() < 500, "{error}");
    }

    #[test]
    fn no_secret_is_in_a_fingerprint() {
        let mut secretive = stream();
        secretive.source.options.insert("sas_token".into(), "hush".into());
        secretive.source.kind = SourceKind::Query(
            "SELECT * FROM 'https://me:hush@host/a.csv?token=hush' JOIN \"s3://x/y\" USING (id)".into(),
        );
        let pipeline = Pipeline { streams: vec![secretive.clone()], ..pipeline("sqlite:///x.db", stream()) };
        let text = serde_json::to_string(&Fingerprint::of(&pipeline, &secretive)).unwrap();
        assert!(!text.contains("hush") && text.contains("https://host/a.csv") && text.contains("s3://x/y"), "{text}");
        let header = Header::new(DxtSchema::default(), "files.https://me:hush@host/a.csv?token=hush");
        assert_eq!(header.source, "files.https://host/a.csv");
        let text = serde_json::to_string(&of(stream())).unwrap();
        assert!(!text.contains("hush") && text.contains("host:5432/shop"), "{text}");
    }
}
