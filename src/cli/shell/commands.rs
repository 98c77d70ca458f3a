//! Commands that begin with a backslash: what they are called, what they take, and what is meant by them.

use std::path::PathBuf;

use clap::ValueEnum;

use super::clause::Named;
use super::lexer::{Kind, tokens};
use super::names::Table;
use crate::cli::args::RowFormat;
use crate::error::{Error, ErrorKind, Result};
use crate::model::nearest;

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The tables of all connections, of one or of a schema; or the columns of a table.
    Describe(Option<Table>),
    Connections,
    /// On, off, or the other one.
    Timing(Option<bool>),
    Expanded(Option<bool>),
    Pager(Option<bool>),
    /// Without one, says which it is.
    Format(Option<RowFormat>),
    /// Without a path, to the terminal again.
    Output(Option<PathBuf>),
    Include(PathBuf),
    Help,
    SqlHelp,
    Quit,
}

/// What a command takes, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Words(&'static [&'static str]),
    Path,
    Table,
}

/// All commands, without the backslash.
pub const NAMES: [&str; 12] = ["d", "l", "timing", "x", "pager", "pset", "format", "o", "i", "?", "h", "q"];

const SWITCH: &[&str] = &["off", "on"];
/// As `--format` takes them.
const FORMATS: &[&str] = &["arrow", "csv", "json", "jsonl", "markdown", "parquet", "table"];

/// What a command takes.
pub fn takes(name: &str) -> Takes {
    match name {
        "d" => Takes::Table,
        "timing" | "x" | "pager" => Takes::Words(SWITCH),
        "pset" => Takes::Words(&["pager"]),
        "format" => Takes::Words(FORMATS),
        "o" | "i" => Takes::Path,
        _ => Takes::Nothing,
    }
}

/// Reads a command's line, backslash included.
///
/// # Errors
/// Configuration: there is no such command, or it does not take that.
pub fn parse(line: &str) -> Result<Command> {
    let line = line.trim().trim_start_matches('\\');
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let nothing = |command| if rest.is_empty() { Ok(command) } else { Err(takes_nothing(name, rest)) };
    match name {
        "d" => Ok(Command::Describe(if rest.is_empty() { None } else { Some(table(rest)?) })),
        "l" => nothing(Command::Connections),
        "timing" => Ok(Command::Timing(switch(name, rest)?)),
        "x" => Ok(Command::Expanded(switch(name, rest)?)),
        "pager" => Ok(Command::Pager(switch(name, rest)?)),
        "pset" => match rest.split_once(char::is_whitespace).unwrap_or((rest, "")) {
            ("pager", value) => Ok(Command::Pager(switch("pset pager", value.trim())?)),
            _ => {
                Err(wrong("\\pset takes pager, and on or off".into(), "\\format and \\x say how rows are shown".into()))
            }
        },
        "format" => format(rest),
        "o" => Ok(Command::Output(path(rest)?)),
        "i" => match path(rest)? {
            Some(file) => Ok(Command::Include(file)),
            None => Err(wrong("\\i takes a file".into(), "such as \\i report.sql".into())),
        },
        "?" => nothing(Command::Help),
        "h" => Ok(Command::SqlHelp),
        "q" => nothing(Command::Quit),
        _ => {
            let shown = name.chars().take(20).collect::<String>();
            let hint = match nearest(name, &NAMES).filter(|near| near.len() > 1 || name.len() <= 2) {
                Some(near) => format!("did you mean \\{near}? \\? lists all commands"),
                None => "\\? lists all commands".into(),
            };
            Err(wrong(format!("there is no command \\{shown}"), hint))
        }
    }
}

fn wrong(text: String, hint: String) -> Error {
    Error::new(ErrorKind::Configuration, text).with_hint(hint)
}

fn takes_nothing(name: &str, rest: &str) -> Error {
    wrong(format!("\\{name} takes nothing, and not `{rest}`"), "one command stands on a line".into())
}

fn switch(name: &str, text: &str) -> Result<Option<bool>> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(wrong(format!("\\{name} takes on or off, and not `{text}`"), "without either it changes over".into())),
    }
}

fn format(text: &str) -> Result<Command> {
    if text.is_empty() {
        return Ok(Command::Format(None));
    }
    match RowFormat::from_str(text, true) {
        Ok(format) => Ok(Command::Format(Some(format))),
        Err(_) => {
            let known: Vec<String> = RowFormat::value_variants().iter().map(|format| format_name(*format)).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = match nearest(text, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", known.join(", ")),
            };
            Err(wrong(format!("there is no format {text}"), hint))
        }
    }
}

/// A format as it is typed.
pub fn format_name(format: RowFormat) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}

/// A path, which quotes may be around; `~/` is the home.
fn path(text: &str) -> Result<Option<PathBuf>> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = match tokens(text).as_slice() {
        [token] if token.kind == Kind::Text && token.closed && text.starts_with('\'') => token.name(),
        _ if text.contains('\'') || text.contains(char::is_whitespace) => {
            return Err(wrong(format!("`{text}` is not one path"), "put it into single quotes: 'my file.csv'".into()));
        }
        _ => text.to_string(),
    };
    let home = name.strip_prefix("~/").and_then(|rest| Some(PathBuf::from(std::env::var_os("HOME")?).join(rest)));
    Ok(Some(home.unwrap_or_else(|| name.into())))
}

/// The name of a table, as SQL has it.
fn table(text: &str) -> Result<Table> {
    let found = tokens(text.trim_end_matches(';'));
    match Named::alone(&found) {
        Some(table) => Ok(table),
        None => Err(wrong(
            format!("`{text}` is not the name of a table"),
            "write connection.table, connection.schema.table, or a file's path in single quotes".into(),
        )),
    }
}

/// What `\?` prints.
pub const HELP: &str = "\
Statements end with a semicolon, and may take several lines. Ctrl-C ends the statement that runs, or clears the line;
Ctrl-D leaves. Tab completes keywords, connections, tables, columns and paths.

  \\d               the connections' tables, files and buffers
  \\d NAME          the tables of a connection or schema, or the columns of a table
  \\l               the connections
  \\timing [on|off] say how long a statement took
  \\x [on|off]      one line for each column
  \\format [FORMAT] table, csv, json, jsonl or markdown; with \\o parquet and arrow, too
  \\o [FILE]        write results to a file; without one to the terminal again
  \\i FILE          run the statements of a file
  \\pager [on|off]  page what is longer or wider than the terminal, by $DXT_PAGER, $PAGER or less
  \\h               names and statements of the SQL
  \\?               this help
  \\q               leave
";

/// What `\h` prints.
pub const SQL_HELP: &str = "\
The SQL is DataFusion's, much like PostgreSQL's. Names in it:

  shop.public.orders         a table of a system with schemas
  warehouse.orders           a table of a system without (SQLite), or a file: lake.\"a/b.parquet\"
  buffer.pipeline.stream     the newest committed buffer of a stream
  'data/orders.parquet'      a file, a glob or a folder by its path or URL

Unquoted names are read in lower case; \"Mixed Case\" stands in double quotes.

  SELECT count(*) FROM 'orders.parquet';
  SELECT c.city, sum(o.total) FROM shop.public.orders o JOIN warehouse.customers c USING (customer_id) GROUP BY c.city;
  EXPLAIN SELECT …;          the plan, and what reaches each system
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_what_they_take() {
        let named = |parts: &[&str]| Some(Table::Named(parts.iter().map(|p| (*p).to_string()).collect()));
        for (line, command) in [
            ("\\d", Command::Describe(None)),
            ("\\d shop.Public.\"Order Lines\";", Command::Describe(named(&["shop", "public", "Order Lines"]))),
            ("\\d 'a b.csv'", Command::Describe(Some(Table::File("a b.csv".into())))),
            ("\\timing", Command::Timing(None)),
            ("\\timing ON", Command::Timing(Some(true))),
            ("\\pset pager off", Command::Pager(Some(false))),
            ("\\format JSONL", Command::Format(Some(RowFormat::Jsonl))),
            ("\\o", Command::Output(None)),
            ("\\o 'it''s.csv'", Command::Output(Some("it's.csv".into()))),
            ("\\i a.sql", Command::Include("a.sql".into())),
            ("\\q", Command::Quit),
        ] {
            assert_eq!(parse(line).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_names_near_ones() {
        for (line, message, hint) in [
            ("\\timin", "there is no command \\timin", "did you mean \\timing?"),
            ("\\dt", "there is no command \\dt", "did you mean \\d?"),
            ("\\nonsense", "there is no command \\nonsense", "\\? lists all commands"),
            ("\\format tabel", "there is no format tabel", "did you mean table?"),
            ("\\timing of", "\\timing takes on or off", "without either"),
            ("\\i", "\\i takes a file", "such as"),
            ("\\o a b", "`a b` is not one path", "single quotes"),
            ("\\d a b", "`a b` is not the name of a table", "connection.table"),
            ("\\d a.", "`a.` is not the name of a table", "connection.table"),
            ("\\q now", "\\q takes nothing", "one command"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.message().contains(message), "{line}: {error}");
            assert!(error.hint().is_some_and(|h| h.contains(hint)), "{line}: {:?}", error.hint());
        }
    }

    #[test]
    fn completion_and_help_know_every_command_and_format() {
        for name in NAMES.iter().filter(|name| **name != "pset") {
            assert!(HELP.contains(&format!("  \\{name} ")), "{name}");
        }
        let mut formats: Vec<String> = RowFormat::value_variants().iter().map(|format| format_name(*format)).collect();
        formats.sort_unstable();
        assert_eq!(formats, FORMATS);
    }
}
