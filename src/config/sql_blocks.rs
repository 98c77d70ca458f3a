//! The blocks and SELECTs of a SQL file: which comments are YAML, and what stands between the `;`.

use super::findings::{Findings, Mark};
use super::infer;
use super::node::{self, Entry, Value};
use super::split::{Kind, Piece, split};

pub(super) const FORM: &str =
    "write `/* dxt`, YAML, and `*/` before the SELECT, or YAML in lines that begin with `-- dxt:`";

/// YAML in a comment.
pub(super) struct Block {
    pub mark: Mark,
    pub entries: Vec<Entry>,
}

impl Block {
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

/// A SELECT and the blocks before it.
pub(super) struct Statement<'a> {
    pub sql: &'a str,
    pub mark: Mark,
    pub blocks: Vec<Block>,
}

/// The SELECTs of a file with the blocks before them. `None` where there are none, or where they cannot be told apart.
pub(super) fn gather<'a>(text: &'a str, file: usize, findings: &mut Findings) -> Option<Vec<Statement<'a>>> {
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
    use super::*;

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
}
