//! Selections of streams: `orders`, `orders,customers`, `sales_*`, `tag:daily`, `tag:critical+daily`, `all`.
//!
//! ```text
//! selection = group { "," group }            or
//! group     = term  { "+" term }             and
//! term      = "all" | [ "id:" | "tag:" ] glob
//! ```
//!
//! After `tag:` the further words of a group are tags too (`tag:critical+daily`); `id:` says otherwise
//! (`tag:daily+id:sales_*`). Upper and lower case differ.

use globset::{Glob, GlobMatcher};

use super::{Stream, nearest};
use crate::error::{Error, ErrorKind, Result};

/// A parsed selection.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    /// One of these groups must hold, and in it all terms.
    groups: Vec<Vec<Term>>,
}

#[derive(Debug, Clone)]
enum Term {
    All,
    Id(Pattern),
    Tag(Pattern),
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    /// `None` where the text has no wildcard and must be met exactly.
    glob: Option<GlobMatcher>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let glob = if text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            let glob = Glob::new(text).map_err(|error| {
                Error::new(ErrorKind::Selector, format!("the pattern {text} is malformed: {}", error.kind()))
                    .with_hint("`*` stands for any characters, `?` for one, `[ab]` for one of some")
            })?;
            Some(glob.compile_matcher())
        } else {
            None
        };
        Ok(Self { text: text.to_string(), glob })
    }

    fn matches(&self, word: &str) -> bool {
        self.glob.as_ref().map_or(self.text == word, |glob| glob.is_match(word))
    }
}

impl Term {
    fn matches(&self, stream: &Stream) -> bool {
        match self {
            Self::All => true,
            Self::Id(pattern) => pattern.matches(&stream.id),
            Self::Tag(pattern) => stream.tags.iter().any(|tag| pattern.matches(tag)),
        }
    }
}

impl Selector {
    /// Parses a selection.
    ///
    /// # Errors
    /// Selector: an empty part, an unknown prefix, a malformed pattern.
    pub fn parse(text: &str) -> Result<Self> {
        let groups = text.split(',').map(|group| parse_group(text, group)).collect::<Result<_>>()?;
        Ok(Self { text: text.trim().to_string(), groups })
    }

    fn matches(&self, stream: &Stream) -> bool {
        self.groups.iter().any(|group| group.iter().all(|term| term.matches(stream)))
    }

    /// Checks that ids written out are there, and that something matches.
    fn check(&self, streams: &[&Stream]) -> Result<()> {
        for pattern in self.groups.iter().flatten().filter_map(|term| match term {
            Term::Id(pattern) if pattern.glob.is_none() => Some(pattern),
            _ => None,
        }) {
            if !streams.iter().any(|s| s.id == pattern.text) {
                let error = Error::new(ErrorKind::Selector, format!("no stream has the id {}", pattern.text));
                return Err(error.with_hint(self.hint(&pattern.text, streams)));
            }
        }
        if streams.iter().any(|stream| self.matches(stream)) {
            return Ok(());
        }
        let missing_tag = self.groups.iter().flatten().find_map(|term| match term {
            Term::Tag(p) if p.glob.is_none() && !streams.iter().any(|s| s.tags.contains(&p.text)) => Some(&p.text),
            _ => None,
        });
        let error = Error::new(ErrorKind::Selector, format!("the selection {} matches no stream", self.text));
        Err(error.with_hint(match missing_tag {
            Some(tag) => tag_hint(tag, streams),
            None => known(streams),
        }))
    }

    fn hint(&self, id: &str, streams: &[&Stream]) -> String {
        let ids: Vec<&str> = streams.iter().map(|s| s.id.as_str()).collect();
        if streams.iter().any(|s| s.tags.iter().any(|tag| tag == id)) {
            return format!("{id} is a tag: write tag:{id}; {}", known(streams));
        }
        match nearest(id, &ids) {
            Some(near) => format!("did you mean {near}? {}", known(streams)),
            None => known(streams),
        }
    }
}

fn parse_group(whole: &str, group: &str) -> Result<Vec<Term>> {
    let mut terms = Vec::new();
    let mut in_tags = false;
    for term in group.split('+').map(str::trim) {
        let (prefix, word) = match term.split_once(':') {
            Some((prefix, word)) => (Some(prefix.trim()), word.trim()),
            None => (None, term),
        };
        in_tags = match prefix {
            None => in_tags,
            Some("tag") => true,
            Some("id") => false,
            Some(other) => {
                let error =
                    Error::new(ErrorKind::Selector, format!("unknown prefix {other}: in the selection {whole}"));
                return Err(error.with_hint(match nearest(other, &["tag", "id"]) {
                    Some(near) => format!("did you mean {near}:?"),
                    None => "write tag:NAME for a tag, id:NAME or NAME for a stream".into(),
                }));
            }
        };
        if word.is_empty() {
            let error = Error::new(ErrorKind::Selector, format!("the selection `{whole}` has an empty part"));
            return Err(
                error.with_hint("write ids or tag:NAME, with `,` for or and `+` for and; `all` selects every stream")
            );
        }
        terms.push(match (prefix, in_tags) {
            (None, false) if word == "all" => Term::All,
            (_, true) => Term::Tag(Pattern::parse(word)?),
            (_, false) => Term::Id(Pattern::parse(word)?),
        });
    }
    Ok(terms)
}

/// The streams that are selected and not excluded, by index, in the order of the pipeline.
///
/// # Errors
/// Selector: an id that no stream has, a selection that matches nothing, or nothing that is left.
pub fn select(streams: &[Stream], select: Option<&Selector>, exclude: Option<&Selector>) -> Result<Vec<usize>> {
    select_each(&[streams], select, exclude).map(|chosen| chosen.into_iter().flatten().collect())
}

/// The same over several pipelines: the indices of each one's streams. A selection holds over all of them, so that it may
/// match nothing in one.
///
/// # Errors
/// As [`select`].
pub fn select_each(
    pipelines: &[&[Stream]],
    select: Option<&Selector>,
    exclude: Option<&Selector>,
) -> Result<Vec<Vec<usize>>> {
    let all: Vec<&Stream> = pipelines.iter().copied().flatten().collect();
    for (selector, option) in [(select, "--select"), (exclude, "--exclude")] {
        if let Some(selector) = selector {
            selector.check(&all).map_err(|error| error.context(option))?;
        }
    }
    let chosen = |stream: &Stream| {
        select.is_none_or(|selector| selector.matches(stream))
            && !exclude.is_some_and(|selector| selector.matches(stream))
    };
    let indices = |streams: &&[Stream]| streams.iter().enumerate().filter(|(_, s)| chosen(s)).map(|(i, _)| i).collect();
    let indices: Vec<Vec<usize>> = pipelines.iter().map(indices).collect();
    if indices.iter().all(Vec::is_empty) {
        let error = Error::new(ErrorKind::Selector, "the selection leaves no stream");
        return Err(error.with_hint(format!("exclude less; {}", known(&all))));
    }
    Ok(indices)
}

fn tag_hint(tag: &str, streams: &[&Stream]) -> String {
    let tags = tags(streams);
    match nearest(tag, &tags) {
        Some(near) => format!("did you mean tag:{near}? {}", known(streams)),
        None => known(streams),
    }
}

fn tags<'a>(streams: &[&'a Stream]) -> Vec<&'a str> {
    let mut tags: Vec<&str> = streams.iter().flat_map(|s| s.tags.iter().map(String::as_str)).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// What can be selected.
fn known(streams: &[&Stream]) -> String {
    let ids: Vec<&str> = streams.iter().map(|s| s.id.as_str()).collect();
    let tags = tags(streams);
    let tags = if tags.is_empty() { String::new() } else { format!("; tags: {}", tags.join(", ")) };
    format!("streams: {}{tags}", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Source, SourceKind, Target, TargetKind};
    use super::*;

    fn streams() -> Vec<Stream> {
        let stream = |id: &str, tags: &[&str]| {
            let source = Source { connection: "c".into(), kind: SourceKind::File("x".into()), options: Options::new() };
            let target = Target { connection: "c".into(), kind: TargetKind::File("y".into()), options: Options::new() };
            Stream {
                id: id.into(),
                description: None,
                tags: tags.iter().map(|t| t.to_string()).collect(),
                source,
                target,
                criteria: None,
                fields: Vec::new(),
                extract: Default::default(),
                load: Default::default(),
                retry: Default::default(),
                position: None,
                sql_position: None,
            }
        };
        vec![
            stream("orders", &["critical", "daily"]),
            stream("customers", &["daily"]),
            stream("sales_eu", &["critical", "hourly"]),
            stream("sales_us", &["daily"]),
        ]
    }

    fn ids(selection: Option<&str>, exclusion: Option<&str>) -> String {
        let parse = |text: &str| Selector::parse(text).unwrap();
        let (selection, exclusion) = (selection.map(parse), exclusion.map(parse));
        let streams = streams();
        match select(&streams, selection.as_ref(), exclusion.as_ref()) {
            Ok(chosen) => chosen.iter().map(|i| streams[*i].id.as_str()).collect::<Vec<_>>().join(" "),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Selector);
                format!("{error} … {}", error.hint().unwrap_or("no hint"))
            }
        }
    }

    #[test]
    fn ids_globs_tags_and_or() {
        for (text, expected) in [
            ("orders", "orders"),
            ("customers,orders", "orders customers"),
            (" customers , orders ", "orders customers"),
            ("sales_*", "sales_eu sales_us"),
            ("sales_?u", "sales_eu"),
            ("sales_[ae]*", "sales_eu"),
            ("all", "orders customers sales_eu sales_us"),
            ("tag:daily", "orders customers sales_us"),
            ("tag:critical+daily", "orders"),
            ("tag:critical+tag:daily", "orders"),
            ("tag:hourly,tag:daily", "orders customers sales_eu sales_us"),
            ("tag:hourly,customers", "customers sales_eu"),
            ("sales_*+tag:daily", "sales_us"),
            ("tag:daily+id:sales_*", "sales_us"),
            ("tag:h*", "sales_eu"),
            ("tag:d*+crit*", "orders"),
            ("all+tag:hourly", "sales_eu"),
            ("tag:nope,orders", "orders"),
        ] {
            assert_eq!(ids(Some(text), None), expected, "{text}");
        }
        assert_eq!(ids(None, None), "orders customers sales_eu sales_us");
        assert_eq!(ids(None, Some("tag:daily")), "sales_eu");
        assert_eq!(ids(Some("sales_*"), Some("sales_us")), "sales_eu");
    }

    const KNOWN: &str = "streams: orders, customers, sales_eu, sales_us; tags: critical, daily, hourly";

    #[test]
    fn what_matches_nothing_is_an_error_with_the_nearest_name() {
        let cases = [
            ("ordres", format!("--select: no stream has the id ordres … did you mean orders? {KNOWN}")),
            ("orders,zzzzzz", format!("--select: no stream has the id zzzzzz … {KNOWN}")),
            ("Orders", format!("--select: no stream has the id Orders … did you mean orders? {KNOWN}")),
            ("daily", format!("--select: no stream has the id daily … daily is a tag: write tag:daily; {KNOWN}")),
            ("x_*", format!("--select: the selection x_* matches no stream … {KNOWN}")),
            (
                "tag:dialy",
                format!("--select: the selection tag:dialy matches no stream … did you mean tag:daily? {KNOWN}"),
            ),
            ("tag:hourly+daily", format!("--select: the selection tag:hourly+daily matches no stream … {KNOWN}")),
        ];
        for (text, expected) in cases {
            assert_eq!(ids(Some(text), None), expected);
        }
        assert_eq!(
            ids(None, Some("ordres")),
            format!("--exclude: no stream has the id ordres … did you mean orders? {KNOWN}")
        );
        assert_eq!(ids(Some("orders"), Some("all")), format!("the selection leaves no stream … exclude less; {KNOWN}"));
    }

    #[test]
    fn a_selection_over_several_pipelines_may_match_nothing_in_one() {
        let streams = streams();
        let (first, second) = streams.split_at(2);
        let each = |text: &str| select_each(&[first, second], Some(&Selector::parse(text).unwrap()), None);
        assert_eq!(each("orders").unwrap(), [vec![0], vec![]]);
        assert_eq!(each("tag:critical").unwrap(), [vec![0], vec![0]]);
        assert!(each("ordres").unwrap_err().hint().unwrap().contains("did you mean orders?"));
    }

    #[test]
    fn malformed_selections_are_refused() {
        for text in ["", ",", "orders,", "tag:", "a++b", "tag:a+", "tga:daily", "foo:bar", "sales_[", "{a"] {
            let error = Selector::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Selector, "{text}");
            assert!(error.hint().is_some(), "{text}");
        }
    }
}
