//! What Tab offers at a place: keywords, connections, schemas, tables, columns, functions, paths and commands.

use rustyline::completion::{FilenameCompleter, Pair};

use super::clause::{Place, Said};
use super::commands;
use super::keywords::{COMMON, FIRST, quoted, quoted_if_needed};
use super::lexer::{Kind, Token, tokens_within};
use super::names::{Listed, Names, Table};
use super::script::statement_at;
use crate::model::DxtSchema;

/// Candidates at most: the editor counts them in 16 bits, and nobody reads more.
const MOST: usize = 1_000;

/// What completion asks for. Whatever is not known in time is left out.
pub trait Known {
    fn catalogs(&self) -> Vec<String>;
    fn has_schemas(&self, catalog: &str) -> Option<bool>;
    fn listing(&self, catalog: &str) -> Vec<Listed>;
    fn columns(&self, table: &Table) -> Vec<String>;
    fn functions(&self) -> Vec<String>;
    /// The files and folders (with a `/` at their end) whose path begins so.
    fn files(&self, path: &str) -> Vec<String>;
}

impl Known for Names {
    fn catalogs(&self) -> Vec<String> {
        Self::catalogs(self)
    }

    fn has_schemas(&self, catalog: &str) -> Option<bool> {
        Self::has_schemas(self, catalog)
    }

    fn listing(&self, catalog: &str) -> Vec<Listed> {
        self.listing_soon(catalog).map(|listed| listed.to_vec()).unwrap_or_default()
    }

    fn columns(&self, table: &Table) -> Vec<String> {
        let names = |schema: &DxtSchema| schema.names().into_iter().map(String::from).collect();
        self.columns_soon(table).map(|schema| names(&schema)).unwrap_or_default()
    }

    fn functions(&self) -> Vec<String> {
        Self::functions(self).to_vec()
    }

    fn files(&self, path: &str) -> Vec<String> {
        // Its own quotes would end there.
        if path.contains('\'') {
            return Vec::new();
        }
        let line = format!("'{path}");
        let found = FilenameCompleter::new().complete_path(&line, line.len());
        found.map(|(_, pairs)| pairs.into_iter().map(|pair| pair.replacement).collect()).unwrap_or_default()
    }
}

/// The candidates for the word that ends at `position`, and the byte at which it begins.
pub fn complete(text: &str, position: usize, known: &dyn Known) -> (usize, Vec<Pair>) {
    let (start, all) = statement_at(text, position);
    let before = tokens_within(text, start..position);
    let at = At { text, position, before, all, known };
    let (start, mut found) = at.candidates();
    found.sort_by(|a, b| a.replacement.cmp(&b.replacement));
    found.dedup_by(|a, b| a.replacement == b.replacement);
    if found.len() > MOST {
        // The last one stays: what all have in common is what the first and the last have.
        let last = found.pop();
        found.truncate(MOST - 1);
        found.extend(last);
    }
    (start, found)
}

/// A place in a statement.
struct At<'a> {
    text: &'a str,
    position: usize,
    /// The tokens of the statement up to the place.
    before: Vec<Token<'a>>,
    /// All of the statement's.
    all: Vec<Token<'a>>,
    known: &'a dyn Known,
}

/// The name that is being typed.
struct Chain {
    /// The parts that are there, and how many tokens they and the last part are.
    parts: Vec<String>,
    tokens: usize,
    /// The part that is being typed, and where it begins.
    partial: String,
    start: usize,
    /// Whether it has a quote at its beginning.
    quoted: bool,
    /// Whether letters of it are in lower case, as those of a keyword will be.
    lower: bool,
}

impl Chain {
    /// A name as a candidate, where it begins as the typed one.
    fn candidate(&self, name: &str, behind: &str) -> Option<Pair> {
        if !name.to_lowercase().starts_with(&self.partial.to_lowercase()) {
            return None;
        }
        let replacement = if self.quoted { quoted(name) } else { quoted_if_needed(name) };
        let replacement = replacement + behind;
        Some(Pair { display: replacement.clone(), replacement })
    }

    /// A keyword or a function, in the case that is typed.
    fn word(&self, word: &str, behind: &str) -> Option<Pair> {
        if self.quoted || !self.parts.is_empty() || !word.to_lowercase().starts_with(&self.partial.to_lowercase()) {
            return None;
        }
        let replacement = if self.lower { word.to_lowercase() } else { word.to_string() } + behind;
        Some(Pair { display: replacement.clone(), replacement })
    }
}

impl At<'_> {
    fn candidates(&self) -> (usize, Vec<Pair>) {
        if let Some(first) = self.before.iter().find(|t| t.significant()).filter(|t| t.is_symbol('\\')) {
            return self.command(first.start);
        }
        let none = (self.position, Vec::new());
        let last = self.before.last();
        let within = |kind| last.is_some_and(|t| t.kind == kind && !t.closed);
        let line = last.is_some_and(|t| t.text.starts_with("--") && !t.text.ends_with('\n'));
        if within(Kind::Comment) || line {
            return none;
        }
        if let Some(text) = last.filter(|t| t.kind == Kind::Text && !t.closed) {
            return self.path(text).unwrap_or(none);
        }
        let Some(chain) = self.chain() else { return none };
        let head = &self.before[..self.before.len() - chain.tokens];
        let said = Said::read(head);
        let found = match said.place() {
            Place::Start if chain.parts.is_empty() => {
                let expression = head.iter().rev().find(|t| t.significant()).is_some_and(|t| t.is_symbol('('));
                let mut found: Vec<Pair> = FIRST.iter().filter_map(|word| chain.word(word, "")).collect();
                if expression {
                    found.extend(self.expression(&chain));
                }
                found
            }
            Place::Start | Place::Expression => self.expression(&chain),
            Place::Table => self.tables(&chain, &said),
            Place::AfterTable => keywords(&chain),
        };
        (chain.start, found)
    }

    /// The name that ends here; `None` where no name can go on.
    fn chain(&self) -> Option<Chain> {
        let (mut taken, mut partial, mut start, mut quoted) = (0, String::new(), self.position, false);
        let mut lower = false;
        match self.before.last() {
            Some(last) if last.kind == Kind::Word || last.kind == Kind::Quoted && !last.closed => {
                (taken, partial, start, quoted) = (1, last.name(), last.start, last.kind == Kind::Quoted);
                lower = last.text.contains(|c: char| c.is_lowercase());
            }
            Some(last) if matches!(last.kind, Kind::Number | Kind::Quoted | Kind::Text) => return None,
            _ => {}
        }
        let mut parts = Vec::new();
        while let [.., name, dot] = &self.before[..self.before.len() - taken] {
            if !(dot.is_symbol('.') && matches!(name.kind, Kind::Word | Kind::Quoted)) {
                break;
            }
            parts.insert(0, name.name());
            taken += 2;
        }
        Some(Chain { parts, tokens: taken, partial, start, quoted, lower })
    }

    /// Tables, and what their names begin with.
    fn tables(&self, chain: &Chain, said: &Said) -> Vec<Pair> {
        let Some(catalog) = chain.parts.first() else {
            let mut found: Vec<Pair> =
                self.known.catalogs().iter().filter_map(|name| chain.candidate(name, ".")).collect();
            found.extend(said.ctes.iter().filter_map(|name| chain.candidate(name, "")));
            found.extend(["SELECT", "LATERAL", "VALUES"].iter().filter_map(|word| chain.word(word, "")));
            return found;
        };
        self.relations(chain, catalog)
    }

    /// What a catalog has below the parts that are typed.
    fn relations(&self, chain: &Chain, catalog: &str) -> Vec<Pair> {
        let (Some(schemas), depth) = (self.known.has_schemas(catalog), chain.parts.len()) else { return Vec::new() };
        let behind = if schemas && depth == 1 { "." } else { "" };
        if depth > if schemas { 2 } else { 1 } {
            return Vec::new();
        }
        let listed = self.known.listing(catalog);
        let below = listed.iter().filter(|listed| listed.parts.starts_with(&chain.parts));
        below.filter_map(|listed| chain.candidate(listed.parts.get(depth)?, behind)).collect()
    }

    /// Columns of the tables that the statement names, functions and keywords.
    fn expression(&self, chain: &Chain) -> Vec<Pair> {
        let said = Said::read(&self.all);
        let columns = |table| self.known.columns(table);
        if !chain.parts.is_empty() {
            let meant = said.tables.iter().filter(|named| named.is(&chain.parts));
            let names: Vec<String> = meant.flat_map(|named| columns(&named.table)).collect();
            return names.iter().filter_map(|name| chain.candidate(name, "")).collect();
        }
        let names: Vec<String> = said.tables.iter().flat_map(|named| columns(&named.table)).collect();
        let mut found: Vec<Pair> = names.iter().filter_map(|name| chain.candidate(name, "")).collect();
        let aliases = said.tables.iter().filter_map(|named| named.alias.as_ref());
        found.extend(aliases.filter_map(|alias| chain.candidate(alias, ".")));
        if !chain.partial.is_empty() && !chain.quoted {
            let functions = self.known.functions();
            found.extend(functions.iter().filter_map(|name| chain.candidate(name, "(")));
        }
        found.extend(keywords(chain));
        found
    }

    /// Paths, where a text names a file.
    fn path(&self, text: &Token<'_>) -> Option<(usize, Vec<Pair>)> {
        let head: Vec<Token<'_>> = self.before.iter().filter(|t| t.end() <= text.start).copied().collect();
        let copied = head.iter().rev().find(|t| t.significant()).is_some_and(|t| t.is_word("TO"));
        if !copied && Said::read(&head).place() != Place::Table || !text.text.starts_with('\'') {
            return None;
        }
        Some((text.start + 1, self.paths(&text.name(), "'")))
    }

    /// Files and folders whose path begins so; `behind` is put behind the name of a file.
    fn paths(&self, partial: &str, behind: &str) -> Vec<Pair> {
        let pair = |path: String| {
            let display = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_string();
            let folder = path.ends_with('/');
            let display = if folder { display + "/" } else { display };
            let replacement = path.replace('\'', "''") + if folder { "" } else { behind };
            Pair { display, replacement }
        };
        self.known.files(partial).into_iter().map(pair).collect()
    }

    /// A command, or what it takes.
    fn command(&self, start: usize) -> (usize, Vec<Pair>) {
        let line = &self.text[start..self.position];
        let Some(blank) = line.find(char::is_whitespace) else {
            let known = commands::NAMES.iter().filter(|name| name.starts_with(&line[1..]));
            let pair = |name: &&str| Pair { display: format!("\\{name}"), replacement: format!("\\{name}") };
            return (start, known.map(pair).collect());
        };
        let word_start = start + line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let word = &self.text[word_start..self.position];
        let among = |words: &[&str]| -> (usize, Vec<Pair>) {
            let found = words.iter().filter(|known| known.starts_with(word));
            (word_start, found.map(|w| Pair { display: (*w).into(), replacement: (*w).into() }).collect())
        };
        match commands::takes(&line[1..blank]) {
            commands::Takes::Nothing => (self.position, Vec::new()),
            commands::Takes::Words(words) => among(words),
            commands::Takes::Path => {
                let argument = line[blank..].trim_start();
                let from = self.position - argument.len();
                match argument.strip_prefix('\'') {
                    Some(partial) => (from + 1, self.paths(partial, "'")),
                    None => {
                        let plain = |pair: &Pair| !pair.replacement.contains(|c: char| c.is_whitespace() || c == '\'');
                        (from, self.paths(argument, "").into_iter().filter(plain).collect())
                    }
                }
            }
            commands::Takes::Table => match self.chain() {
                None => (self.position, Vec::new()),
                Some(chain) => match chain.parts.first() {
                    Some(catalog) => (chain.start, self.relations(&chain, catalog)),
                    None => {
                        let catalogs = self.known.catalogs();
                        (chain.start, catalogs.iter().filter_map(|name| chain.candidate(name, "")).collect())
                    }
                },
            },
        }
    }
}

/// The keywords that begin as the typed word; all of them would say nothing.
fn keywords(chain: &Chain) -> Vec<Pair> {
    if chain.partial.is_empty() {
        return Vec::new();
    }
    COMMON.iter().filter_map(|word| chain.word(word, "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shop;

    fn listed(parts: &[&str]) -> Listed {
        Listed { parts: parts.iter().map(|p| (*p).to_string()).collect(), kind: "table".into() }
    }

    impl Known for Shop {
        fn catalogs(&self) -> Vec<String> {
            ["buffer", "lake", "shop", "warehouse"].map(String::from).to_vec()
        }

        fn has_schemas(&self, catalog: &str) -> Option<bool> {
            self.catalogs().contains(&catalog.to_string()).then_some(matches!(catalog, "shop" | "buffer"))
        }

        fn listing(&self, catalog: &str) -> Vec<Listed> {
            let all = [
                listed(&["shop", "public", "orders"]),
                listed(&["shop", "public", "Order Lines"]),
                listed(&["shop", "audit", "log"]),
                listed(&["warehouse", "order"]),
                listed(&["warehouse", "customers"]),
                listed(&["lake", "events/a.parquet"]),
                listed(&["buffer", "nightly", "orders"]),
            ];
            all.into_iter().filter(|listed| listed.parts[0] == catalog).collect()
        }

        fn columns(&self, table: &Table) -> Vec<String> {
            let names: &[&str] = match table {
                Table::Named(parts) if parts.last().is_some_and(|last| last == "orders") => {
                    &["id", "total", "Placed At"]
                }
                Table::Named(parts) if *parts == ["warehouse", "customers"] => &["customer_id", "city"],
                Table::File(path) if path == "x.csv" => &["a", "b"],
                _ => &[],
            };
            names.iter().map(|name| (*name).to_string()).collect()
        }

        fn functions(&self) -> Vec<String> {
            ["count", "coalesce", "concat"].map(String::from).to_vec()
        }

        fn files(&self, path: &str) -> Vec<String> {
            let all = ["data/", "data/a.csv", "data/o'b.csv", "notes.txt"];
            let depth = path.matches('/').count();
            let here = |p: &&&str| p.starts_with(path) && p.trim_end_matches('/').matches('/').count() == depth;
            all.iter().filter(here).map(|p| (*p).to_string()).collect()
        }
    }

    /// The candidates at the mark `|`, and what they take the place of.
    fn at(marked: &str) -> (String, Vec<String>) {
        let position = marked.find('|').unwrap();
        let text = marked.replacen('|', "", 1);
        let (start, found) = complete(&text, position, &Shop);
        (text[start..position].to_string(), found.into_iter().map(|pair| pair.replacement).collect())
    }

    fn offered(marked: &str) -> Vec<String> {
        at(marked).1
    }

    #[test]
    fn tables_are_completed_part_by_part() {
        for (text, expected) in [
            ("SELECT * FROM sh|", vec!["shop."]),
            ("SELECT * FROM SH|", vec!["shop."]),
            ("SELECT * FROM |", vec!["LATERAL", "SELECT", "VALUES", "buffer.", "lake.", "shop.", "warehouse."]),
            ("SELECT * FROM shop.|", vec!["audit.", "public."]),
            ("SELECT * FROM shop.pu|", vec!["public."]),
            ("SELECT * FROM shop.public.|", vec!["\"Order Lines\"", "orders"]),
            ("SELECT * FROM shop.public.ord|", vec!["\"Order Lines\"", "orders"]),
            ("SELECT * FROM shop.public.\"or|", vec!["\"Order Lines\"", "\"orders\""]),
            ("SELECT * FROM warehouse.o|", vec!["\"order\""]),
            ("SELECT * FROM lake.e|", vec!["\"events/a.parquet\""]),
            ("SELECT * FROM warehouse.customers c JOIN buffer.nightly.|", vec!["orders"]),
            ("SELECT * FROM nowhere.|", vec![]),
            ("SELECT * FROM shop.public.orders.|", vec![]),
            ("WITH recent AS (SELECT 1) SELECT * FROM re|", vec!["recent"]),
            ("INSERT INTO ware|", vec!["warehouse."]),
            ("DESCRIBE shop.audit.|", vec!["log"]),
        ] {
            assert_eq!(offered(text), expected, "{text}");
        }
        assert_eq!(at("SELECT * FROM shop.public.\"or|").0, "\"or");
    }

    #[test]
    fn columns_are_those_of_the_tables_of_the_statement() {
        for (text, expected) in [
            ("SELECT | FROM shop.public.orders", vec!["\"Placed At\"", "id", "total"]),
            ("SELECT to| FROM shop.public.orders", vec!["to", "total"]),
            ("SELECT o.| FROM shop.public.orders o", vec!["\"Placed At\"", "id", "total"]),
            ("SELECT orders.t| FROM shop.public.orders", vec!["total"]),
            ("SELECT x.t| FROM shop.public.orders o", vec![]),
            ("SELECT 1; SELECT ci| FROM warehouse.customers; SELECT 2", vec!["city"]),
            (
                "SELECT * FROM shop.public.orders o JOIN warehouse.customers c ON o.id = c.c|",
                vec!["city", "customer_id"],
            ),
            ("SELECT * FROM 'x.csv' WHERE |", vec!["a", "b"]),
            ("SELECT sum(tot| FROM shop.public.orders", vec!["total"]),
            ("SELECT * FROM warehouse.customers c WHERE |", vec!["c.", "city", "customer_id"]),
        ] {
            assert_eq!(offered(text), expected, "{text}");
        }
    }

    #[test]
    fn keywords_and_functions_have_the_case_that_is_typed() {
        assert_eq!(offered("sel|"), ["select"]);
        assert_eq!(offered("SEL|"), ["SELECT"]);
        assert_eq!(offered("SELECT cou|"), ["count("]);
        assert_eq!(offered("SELECT * FROM warehouse.customers WHER|"), ["WHERE"]);
        assert_eq!(offered("SELECT * FROM warehouse.customers |"), Vec::<String>::new());
        assert_eq!(offered("SELECT * FROM (sel|"), ["select"]);
    }

    #[test]
    fn nothing_is_offered_within_texts_comments_and_numbers() {
        for text in ["SELECT 'sel|", "SELECT 1|", "SELECT -- sel|", "SELECT /* sel|", "SELECT * FROM \"shop\"|"] {
            assert_eq!(offered(text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(offered("-- a\nsel|"), ["select"]);
    }

    #[test]
    fn paths_are_completed_in_quotes_where_a_table_is_named() {
        assert_eq!(at("SELECT * FROM 'da|"), ("da".into(), vec!["data/".into()]));
        assert_eq!(offered("SELECT * FROM 'data/|"), ["data/a.csv'", "data/o''b.csv'"]);
        assert_eq!(offered("COPY t TO 'no|"), ["notes.txt'"]);
        assert_eq!(offered("SELECT * FROM t WHERE x = 'da|"), Vec::<String>::new());
    }

    #[test]
    fn commands_are_completed_with_what_they_take() {
        assert_eq!(offered("\\ti|"), ["\\timing"]);
        assert_eq!(offered("\\timing o|"), ["off", "on"]);
        assert_eq!(offered("\\format c|"), ["csv"]);
        assert_eq!(offered("\\d shop.public.o|"), ["\"Order Lines\"", "orders"]);
        assert_eq!(offered("\\d wa|"), ["warehouse"]);
        assert_eq!(offered("\\i data/|"), ["data/a.csv"]);
        assert_eq!(offered("\\i 'data/|"), ["data/a.csv'", "data/o''b.csv'"]);
        assert_eq!(offered("\\q |"), Vec::<String>::new());
    }

    #[test]
    fn of_very_many_names_as_many_are_offered_as_the_editor_takes_and_their_common_part_is_right() {
        struct Many;
        impl Known for Many {
            fn catalogs(&self) -> Vec<String> {
                (0..100_000).map(|n| format!("a{n}")).chain(["b".to_string()]).collect()
            }
            fn has_schemas(&self, _: &str) -> Option<bool> {
                None
            }
            fn listing(&self, _: &str) -> Vec<Listed> {
                Vec::new()
            }
            fn columns(&self, _: &Table) -> Vec<String> {
                Vec::new()
            }
            fn functions(&self) -> Vec<String> {
                Vec::new()
            }
            fn files(&self, _: &str) -> Vec<String> {
                Vec::new()
            }
        }
        let (_, found) = complete("SELECT * FROM ", 14, &Many);
        assert_eq!((found.len(), found.last().map(|p| p.replacement.as_str())), (MOST, Some("b.")));
    }
}
