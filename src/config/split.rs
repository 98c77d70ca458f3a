//! A SQL file in pieces: comments, statements and the `;` between them. No piece is lost, changed or moved; what stands
//! within quotes and comments is never taken for anything else.

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space.
    Space,
    /// `-- …` up to the end of its line, which is not in it.
    LineComment,
    /// `/* … */`; such comments nest.
    BlockComment,
    /// SQL: words, quoted texts, operators.
    Sql,
    /// The `;` that ends a statement.
    End,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Where it begins, in bytes.
    pub at: usize,
}

/// A quote or comment that is not closed: where it begins, in bytes, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclosed {
    pub at: usize,
    pub what: &'static str,
}

/// Splits a text. The pieces, one after the other, are the text again; where something is not closed, the last one goes
/// to the end.
pub(super) fn split(text: &str) -> (Vec<Piece<'_>>, Option<Unclosed>) {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut unclosed = None;
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, end) = next(rest, first);
        let length = end.unwrap_or_else(|what| {
            unclosed = Some(Unclosed { at, what });
            rest.len()
        });
        match pieces.last_mut() {
            // Runs of SQL and of white space are one piece.
            Some(last) if last.kind == kind && matches!(kind, Kind::Space | Kind::Sql) => {
                last.text = &text[last.at..at + length];
            }
            _ => pieces.push(Piece { kind, text: &text[at..at + length], at }),
        }
        at += length;
    }
    (pieces, unclosed)
}

/// The kind of what stands first in `rest` and its length in bytes, or what of it is not closed. `rest` is not empty.
fn next(rest: &str, first: char) -> (Kind, Result<usize, &'static str>) {
    if rest.starts_with("--") {
        return (Kind::LineComment, Ok(rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return (Kind::BlockComment, block_comment(rest).ok_or("comment `/*`"));
    }
    let sql = |length: Result<usize, &'static str>| (Kind::Sql, length);
    if rest.starts_with("//") {
        // An operator of DataFusion's dialect: no comment begins at its second half.
        return sql(Ok(2));
    }
    match first {
        ';' => (Kind::End, Ok(1)),
        c if c.is_whitespace() => (Kind::Space, Ok(rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()))),
        '\'' => sql(quoted(rest, '\'').ok_or("text in quotes")),
        '"' => sql(quoted(rest, '"').ok_or("name in double quotes")),
        '`' => sql(quoted(rest, '`').ok_or("name in backquotes")),
        '$' => sql(dollar(rest)),
        c if c.is_ascii_digit() || c == '.' => sql(Ok(number(rest))),
        c if c.is_alphabetic() || c == '_' => sql(word(rest)),
        c => sql(Ok(c.len_utf8())),
    }
}

/// A number, or a point alone. Where it ends matters: `1E'…'` is one before a text with backslashes.
fn number(rest: &str) -> usize {
    let digits = |at: usize| rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| at + end);
    let mut end = digits(0);
    if rest[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if rest[..end] == *"." {
        // What follows is a word, and no exponent.
        return end;
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// A word, which may have `$` within; with the text behind it where it is the prefix of one that is read in another way.
fn word(rest: &str) -> Result<usize, &'static str> {
    let is_part = |c: char| c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '_' | '$' | '@' | '#');
    let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
    let (prefix, behind) = rest.split_at(end);
    let is = |word: &str| behind.starts_with('\'') && prefix.eq_ignore_ascii_case(word);
    let length = if is("e") || is("x") {
        escaped(behind)
    } else if is("q") || is("nq") {
        delimited(behind)
    } else {
        Some(0)
    };
    length.map(|length| end + length).ok_or("text in quotes")
}

/// The length of `'[…]'`, whose end is the bracket and the quote.
fn delimited(rest: &str) -> Option<usize> {
    let open = rest[1..].chars().next()?;
    let close = match open {
        '[' => ']',
        '{' => '}',
        '<' => '>',
        '(' => ')',
        same => same,
    };
    let begin = 1 + open.len_utf8();
    let end = format!("{close}'");
    rest[begin..].find(&end).map(|at| begin + at + end.len())
}

/// The length of what is in quotes, where a quote within is written twice.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest[at..].find(quote)? + 1;
        if !rest[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// The length of a text in quotes in which a backslash takes the next character's meaning.
fn escaped(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => drop(chars.next()),
            '\'' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of `$name`, `$1`, or of a text between `$$` or `$tag$`.
fn dollar(rest: &str) -> Result<usize, &'static str> {
    let end = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(rest.len(), |end| end + 1);
    if !rest[end..].starts_with('$') {
        return Ok(end);
    }
    let tag = &rest[..=end];
    match rest[tag.len()..].find(tag) {
        Some(body) => Ok(tag.len() + body + tag.len()),
        None => Err("text between `$` marks"),
    }
}

fn block_comment(rest: &str) -> Option<usize> {
    let (bytes, mut depth, mut at) = (rest.as_bytes(), 0_usize, 0);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => depth += 1,
            (b'*', b'/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
    use proptest::prelude::*;

    use super::*;

    /// The statements of a text by the splitter, white space and comments left out.
    fn statements(text: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for piece in split(text).0 {
            match piece.kind {
                Kind::End => found.push(String::new()),
                Kind::Sql => found.last_mut().unwrap().push_str(piece.text),
                _ => {}
            }
        }
        found.retain(|statement| !statement.is_empty());
        found
    }

    #[test]
    fn a_point_without_digits_is_no_number() {
        assert_eq!(split(".e1q'E'--';\n;").1, None);
        assert_eq!(statements("a.e1;.1e5;b"), ["a.e1", ".1e5", "b"]);
    }

    #[test]
    fn a_semicolon_in_quotes_or_comments_ends_nothing() {
        for text in [
            "';'",
            "'it''s; fine'",
            "\"a;\"\"b;\"",
            "`a;b`",
            "$$;$$",
            "$tag$ ; $$ ; $tag$",
            "E'it\\'s;'",
            "e'\\\\'",
            "a$b$c",
            "q'[it's;]'",
            "x -- ; '",
            "x /* ; /* ' ; */ ; */ y",
            "$day",
            "'日本;'",
        ] {
            let (pieces, unclosed) = split(text);
            assert_eq!(unclosed, None, "{text}");
            assert!(pieces.iter().all(|piece| piece.kind != Kind::End), "{text}: {pieces:?}");
        }
        assert_eq!(statements("SELECT ';' ; -- ;\nSELECT 2;;"), ["SELECT';'", "SELECT2"]);
        // Only E and X take backslashes.
        assert_eq!(statements(r"SELECT 'a\'; SELECT 'b'"), [r"SELECT'a\'", "SELECT'b'"]);
    }

    #[test]
    fn what_is_not_closed_is_told_with_its_place() {
        for (text, at, what) in [
            ("a 'b", 2, "text in quotes"),
            ("a \"b;", 2, "name in double quotes"),
            ("a; /* b /* */", 3, "comment `/*`"),
            ("$x$ $y$", 0, "text between `$` marks"),
            ("E'a\\'", 0, "text in quotes"),
        ] {
            assert_eq!(split(text).1, Some(Unclosed { at, what }), "{text}");
        }
    }

    /// Fragments in which the marks of SQL come often.
    fn sql() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "'", "\"", "`", "$", "$$", "$a$", "$day", "--", "/*", "*/", ";", "\n", " ", "a", "E'", "e", "\\", "1", "é",
            "日", "x_y", "/", "*", "-", "''", "SELECT", ",", "(", ")", "\r\n", "\t", ".", "N'", "q'", "e1",
        ]);
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn the_pieces_are_the_text_again_in_order(text in prop_oneof![sql(), any::<String>()]) {
            let (pieces, _) = split(&text);
            let mut at = 0;
            for piece in &pieces {
                prop_assert_eq!(piece.at, at);
                prop_assert!(!piece.text.is_empty());
                at += piece.text.len();
            }
            prop_assert_eq!(pieces.iter().map(|piece| piece.text).collect::<String>(), text);
        }

        /// DataFusion's own tokenizer finds the same statements, or finds the text malformed.
        #[test]
        fn statements_end_where_the_parser_ends_them(text in sql()) {
            let dialect = GenericDialect {};
            if let Ok(tokens) = Tokenizer::new(&dialect, &text).tokenize_with_location() {
                let (pieces, unclosed) = split(&text);
                prop_assert_eq!(unclosed, None, "{}", text);
                let ends = pieces.iter().filter(|piece| piece.kind == Kind::End).map(|piece| {
                    let before = &text[..piece.at];
                    let line = before.matches('\n').count() as u64 + 1;
                    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1)
                });
                let expected = tokens.iter().filter(|t| t.token == Token::SemiColon);
                let expected: Vec<_> = expected.map(|t| (t.span.start.line, t.span.start.column)).collect();
                prop_assert_eq!(ends.collect::<Vec<_>>(), expected, "{}", text);
            }
        }
    }
}
