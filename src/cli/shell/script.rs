//! What is typed or read, as statements and commands: a statement ends at its semicolon, a command that begins with a
//! backslash at the end of its line.

use std::io::{self, BufRead};

use super::lexer::{Token, each, tokens_within};
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// The lines of stdin as they come, with their ends; read in a thread of its own, as that blocks.
///
/// # Errors
/// Pipeline: there can be no thread. Of a line: it cannot be read, or is not UTF-8.
pub fn stdin() -> Result<tokio::sync::mpsc::Receiver<Result<String>>> {
    let (send, lines) = tokio::sync::mpsc::channel(64);
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = stdin
                .read_until(b'\n', &mut line)
                .and_then(|_| String::from_utf8(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)));
            let line = read.during(ErrorKind::Configuration, || "reading stdin".into());
            let more = line.as_ref().is_ok_and(|line| !line.is_empty());
            let ended = line.as_ref().is_ok_and(String::is_empty);
            if ended || send.blocking_send(line).is_err() || !more {
                break;
            }
        }
    });
    thread.map_err(|e| Error::new(ErrorKind::Pipeline, "stdin cannot be read").with_source(e))?;
    Ok(lines)
}

/// What is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// One statement, with the comments before it and without its semicolon. It may say nothing.
    Statement(&'a str),
    /// One command: its line from the backslash on.
    Command(&'a str),
}

/// The first piece of a text, and how many bytes of the text it takes. `None` where nothing is complete: what there is
/// may be the beginning of a statement.
pub fn first(text: &str) -> Option<(Piece<'_>, usize)> {
    let mut begun = false;
    for token in each(text) {
        if !begun && token.is_symbol('\\') {
            let rest = &text[token.start..];
            let line = rest.find('\n').map_or(rest.len(), |at| at + 1);
            return Some((Piece::Command(rest[..line].trim_end()), token.start + line));
        }
        if token.is_symbol(';') {
            return Some((Piece::Statement(&text[..token.start]), token.end()));
        }
        begun |= token.significant();
    }
    None
}

/// All pieces of a text in order, and what is left behind the last one.
pub fn pieces(text: &str) -> (Vec<Piece<'_>>, &str) {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((piece, length)) = first(rest) {
        found.push(piece);
        rest = &rest[length..];
    }
    (found, rest)
}

/// Whether a text says nothing: no more than white space and comments, none of them open.
pub fn is_blank(text: &str) -> bool {
    each(text).all(|t| !t.significant() && t.closed)
}

/// Whether a text that was typed can be done: there is no statement that has begun and not ended.
pub fn is_complete(text: &str) -> bool {
    let (found, rest) = pieces(text);
    is_blank(rest) || (found.is_empty() && Word::of(rest).is_some())
}

/// A word that people type where they know no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Quit,
    Help,
}

impl Word {
    /// The word that a text is, where it is one and nothing else.
    pub fn of(text: &str) -> Option<Self> {
        match text.trim().trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
            "exit" | "quit" => Some(Self::Quit),
            "help" => Some(Self::Help),
            _ => None,
        }
    }
}

/// The statement that a place in a text belongs to: its tokens, and where it begins.
pub fn statement_at(text: &str, position: usize) -> (usize, Vec<Token<'_>>) {
    let (mut start, mut end) = (0, text.len());
    for token in each(text) {
        if token.is_symbol(';') {
            if token.end() <= position {
                start = token.end();
            } else {
                end = token.start;
                break;
            }
        }
    }
    (start, tokens_within(text, start..end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_end_at_semicolons_and_commands_at_their_lines() {
        let text = "-- first\nSELECT ';' ; \\x on\n\\d shop \n ; SELECT $$;\n$$;\\timing\nSELECT 2";
        let (found, rest) = pieces(text);
        assert_eq!(
            found,
            [
                Piece::Statement("-- first\nSELECT ';' "),
                Piece::Command("\\x on"),
                Piece::Command("\\d shop"),
                Piece::Statement(" "),
                Piece::Statement(" SELECT $$;\n$$"),
                Piece::Command("\\timing"),
            ]
        );
        assert_eq!(rest, "SELECT 2");
    }

    #[test]
    fn a_text_is_complete_where_no_statement_is_open() {
        for text in ["", "  \n", "SELECT 1;", "SELECT 1; -- done", "\\d", "exit", "QUIT;", "help", "-- only", "/* a */"]
        {
            assert!(is_complete(text), "{text}");
        }
        for text in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "/* a ;", "SELECT $$;", "SELECT \"a;", "exit now"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn the_statement_at_a_place_is_the_one_around_it() {
        let text = "SELECT 1; SELECT 2 FROM t; SELECT 3";
        for (position, statement) in [(0, "SELECT 1"), (8, "SELECT 1"), (12, " SELECT 2 FROM t"), (35, " SELECT 3")] {
            let (start, tokens) = statement_at(text, position);
            assert_eq!(tokens.iter().map(|t| t.text).collect::<String>(), statement, "{position}");
            assert!(tokens.iter().all(|t| text[t.start..].starts_with(t.text)) && text[start..].starts_with(statement));
        }
    }

    proptest! {
        #[test]
        fn splitting_never_loses_text(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "'", "\"", ";", "--", "\n", "/*", "*/", "$$", "$x$", "\\", "\\d x", "a", "ü", " ", "E'", ";;",
                ]),
                0..40,
            )
        ) {
            let text = parts.concat();
            let (mut rest, mut taken) = (text.as_str(), String::new());
            while let Some((piece, length)) = first(rest) {
                let (Piece::Statement(within) | Piece::Command(within)) = piece;
                prop_assert!(length > 0 && rest[..length].contains(within));
                // What is left out is white space and comments before a command, its line's end, or one semicolon.
                match piece {
                    Piece::Statement(_) => prop_assert_eq!(rest[..length].strip_prefix(within), Some(";")),
                    Piece::Command(_) => {
                        let (before, after) = rest[..length].rsplit_once(within).unwrap_or_default();
                        prop_assert!(is_blank(before) && after.trim().is_empty());
                    }
                }
                taken += &rest[..length];
                rest = &rest[length..];
            }
            prop_assert_eq!(taken + rest, text);
        }

        #[test]
        fn a_text_is_split_alike_whole_and_line_by_line(
            parts in prop::collection::vec(
                prop::sample::select(vec!["'", ";", "--", "\n", "/*", "*/", "$$", "\\d x\n", "a", " ", ";\n"]), 0..40,
            )
        ) {
            let text = parts.concat();
            let (whole, rest) = pieces(&text);
            let (mut held, mut found) = (String::new(), Vec::new());
            for line in text.split_inclusive('\n') {
                held += line;
                while let Some((piece, length)) = first(&held) {
                    found.push(format!("{piece:?}"));
                    held.drain(..length);
                }
            }
            prop_assert_eq!(found, whole.iter().map(|p| format!("{p:?}")).collect::<Vec<_>>());
            prop_assert_eq!(held, rest);
        }
    }
}
