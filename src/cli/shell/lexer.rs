//! The tokens of SQL as the parser will see them, also of a text that is not finished: for statements' ends, completion
//! and colours. No text is lost: the tokens of a text, put together, are the text.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// White space.
    Space,
    /// `-- …` up to the line's end, or `/* … */`, which may hold others.
    Comment,
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes or backticks.
    Quoted,
    /// `'…'`, `E'…'`, `$$…$$`, `$tag$…$tag$`.
    Text,
    /// Digits, and what belongs to them.
    Number,
    /// One other character, or an operator of several.
    Symbol,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    /// As it is written, quotes included.
    pub text: &'a str,
    /// Its first byte within the whole text.
    pub start: usize,
    /// Whether its end is there: a quote or a comment may be open when the text ends.
    pub closed: bool,
}

impl Token<'_> {
    /// The byte after its last one.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it says something.
    pub fn significant(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment)
    }

    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol && self.text.starts_with(symbol)
    }

    /// Whether it is this keyword, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// The name that it stands for: without quotes as it is, else in lower case, as the parser reads it.
    pub fn name(&self) -> String {
        let quote = self.text.chars().next().filter(|_| matches!(self.kind, Kind::Quoted | Kind::Text));
        let Some(quote) = quote else { return self.text.to_ascii_lowercase() };
        let within = self.text.strip_prefix(quote).unwrap_or(self.text);
        let within = if self.closed { within.strip_suffix(quote).unwrap_or(within) } else { within };
        within.replace(&format!("{quote}{quote}"), &quote.to_string())
    }
}

/// The tokens of a text, in order.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    each(text).collect()
}

/// The tokens of a part of a text, whose places are those within the whole.
pub fn tokens_within(text: &str, part: Range<usize>) -> Vec<Token<'_>> {
    let start = part.start;
    each(&text[part]).map(|token| Token { start: token.start + start, ..token }).collect()
}

/// The tokens of a text one by one, for who needs only the first ones of a long text.
pub fn each(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        let (kind, length, closed) = token(rest, rest.chars().next()?);
        let token = Token { kind, text: &rest[..length], start, closed };
        start += length;
        Some(token)
    })
}

/// The first token of a text that begins with `first`: its kind, its length in bytes, and whether it is closed.
fn token(text: &str, first: char) -> (Kind, usize, bool) {
    let plain = |kind, length| (kind, length, true);
    let ended = |kind, end: Option<usize>| (kind, end.unwrap_or(text.len()), end.is_some());
    match first {
        c if c.is_whitespace() => plain(Kind::Space, run(text, char::is_whitespace)),
        // Its end is the line's, which may come with the next key: it is never open.
        '-' if text.starts_with("--") => plain(Kind::Comment, text.find('\n').map_or(text.len(), |at| at + 1)),
        '/' if text.starts_with("/*") => ended(Kind::Comment, comment_end(text)),
        // Operators of several signs, the last of which opens no comment.
        '/' if text.starts_with("//") => plain(Kind::Symbol, 2),
        '|' if text.starts_with("||/") => plain(Kind::Symbol, 3),
        '|' if text.starts_with("|/") => plain(Kind::Symbol, 2),
        '\'' => ended(Kind::Text, quote_end(text, 1, '\'', false)),
        'e' | 'E' if text[1..].starts_with('\'') => ended(Kind::Text, quote_end(text, 2, '\'', true)),
        '"' | '`' => ended(Kind::Quoted, quote_end(text, 1, first, false)),
        '$' => match dollar_tag(text) {
            Some(tag) => ended(Kind::Text, text[tag.len()..].find(tag).map(|at| at + 2 * tag.len())),
            None => plain(Kind::Symbol, 1),
        },
        c if c.is_ascii_digit() => plain(Kind::Number, number(text)),
        c if c.is_alphabetic() || matches!(c, '_' | '#' | '@') => plain(Kind::Word, run(text, in_word)),
        c => plain(Kind::Symbol, c.len_utf8()),
    }
}

fn in_word(c: char) -> bool {
    c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '@' | '$' | '#' | '_')
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The length of a number: its digits, and an exponent that has some. Any other letter begins a word.
fn number(text: &str) -> usize {
    let digits = run(text, |c| c.is_ascii_digit() || c == '.');
    let Some(exponent) = text[digits..].strip_prefix(['e', 'E']) else { return digits };
    let signed = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    match run(signed, |c| c.is_ascii_digit()) {
        0 => digits,
        count => text.len() - signed.len() + count,
    }
}

/// The byte after a quote that closes; a doubled one stands for itself, and with `escapes` one behind a backslash.
fn quote_end(text: &str, from: usize, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = text[from..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Some(from + at + 1);
        }
    }
    None
}

/// The byte after a comment that may hold others.
fn comment_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < bytes.len() {
        let step = match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                2
            }
            b"*/" => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// `$$` or `$tag$` at the beginning of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let name = run(&text[1..], |c| c.is_alphanumeric() || c == '_');
    text[1 + name..].starts_with('$').then(|| &text[..name + 2])
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::{Token as Parsed, Tokenizer, Whitespace};
    use proptest::prelude::*;

    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).into_iter().filter(|t| t.kind != Kind::Space).map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn quotes_comments_and_dollar_quotes_are_one_token_each() {
        assert_eq!(
            kinds("SELECT 'a;''b', E'\\';', \"c;\"\"d\", $x$;$$;$x$, $$;$$ -- e;\n/* f; /* g */ ; */ ;"),
            [
                (Kind::Word, "SELECT"),
                (Kind::Text, "'a;''b'"),
                (Kind::Symbol, ","),
                (Kind::Text, "E'\\';'"),
                (Kind::Symbol, ","),
                (Kind::Quoted, "\"c;\"\"d\""),
                (Kind::Symbol, ","),
                (Kind::Text, "$x$;$$;$x$"),
                (Kind::Symbol, ","),
                (Kind::Text, "$$;$$"),
                (Kind::Comment, "-- e;\n"),
                (Kind::Comment, "/* f; /* g */ ; */"),
                (Kind::Symbol, ";"),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_reaches_to_the_end() {
        for text in ["'a;", "\"a;", "`a", "/* a /* b */", "$x$ a $$", "E'a\\'", "$$ a $"] {
            let tokens = tokens(text);
            assert_eq!((tokens.len(), tokens[0].closed), (1, false), "{text}");
        }
        // A placeholder, and a name with a dollar sign.
        assert_eq!(kinds("$1 a$b$c")[..2], [(Kind::Symbol, "$"), (Kind::Number, "1")]);
        assert_eq!(kinds("a$b$c"), [(Kind::Word, "a$b$c")]);
        assert_eq!(kinds("1.5e-3 1E$$"), [(Kind::Number, "1.5e-3"), (Kind::Number, "1"), (Kind::Word, "E$$")]);
    }

    #[test]
    fn a_name_is_what_its_quotes_hold_and_else_lower_case() {
        for (text, name) in [("Orders", "orders"), ("\"A\"\"b\"", "A\"b"), ("\"open", "open"), ("'x.csv'", "x.csv")] {
            assert_eq!(tokens(text)[0].name(), name, "{text}");
        }
    }

    /// Texts of what matters to a lexer. Without `#` and `@`: behind them the parser takes any sign as a part of a name,
    /// even a semicolon.
    fn texts() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "'", "''", "\"", "`", ";", "--", "\n", "/*", "*/", "$$", "$x$", "$", "1", "e'", "E", "\\", "a", "ü", " ",
            "x.y", "-", "*", "/", "|", "(", "select",
        ]);
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    /// Where the parser's own tokenizer sees the ends of statements, as (line, column).
    fn parsed_ends(text: &str) -> Option<Vec<(u64, u64)>> {
        let dialect = GenericDialect {};
        let tokens = Tokenizer::new(&dialect, text).with_unescape(false).tokenize_with_location().ok()?;
        let odd = |t: &Parsed| matches!(t, Parsed::Whitespace(Whitespace::SingleLineComment { comment, .. }) if comment.contains('\r'));
        if tokens.iter().any(|t| odd(&t.token)) {
            return None;
        }
        let ends = tokens.iter().filter(|t| t.token == Parsed::SemiColon);
        Some(ends.map(|t| (t.span.start.line, t.span.start.column)).collect())
    }

    fn place(text: &str, at: usize) -> (u64, u64) {
        let before = &text[..at];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() as u64 + 1, before[line..].chars().count() as u64 + 1)
    }

    proptest! {
        #[test]
        fn no_text_is_lost(text in prop_oneof![texts(), any::<String>()]) {
            let tokens = tokens(&text);
            prop_assert_eq!(tokens.iter().map(|t| t.text).collect::<String>(), text.clone());
            prop_assert!(tokens.iter().all(|t| !t.text.is_empty() && text[t.start..].starts_with(t.text)));
        }

        #[test]
        fn statements_end_where_the_parser_ends_them(text in texts()) {
            if let Some(expected) = parsed_ends(&text) {
                let found = tokens(&text).into_iter().filter(|t| t.is_symbol(';'));
                prop_assert_eq!(found.map(|t| place(&text, t.start)).collect::<Vec<_>>(), expected);
            }
        }
    }
}
