//! What follows from a text: whether it is SQL, and whether it may name a folder.

/// Whether a text begins with the word SELECT or WITH, after white space and comments.
pub(super) fn begins_with_query(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            after_comment(comment)
        } else {
            break;
        }
        .trim_start();
    }
    let word_end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$' && c != '.').unwrap_or(rest.len());
    let word = &rest[..word_end];
    word.eq_ignore_ascii_case("select") || word.eq_ignore_ascii_case("with")
}

/// What stands after a block comment that is open; such comments nest.
fn after_comment(text: &str) -> &str {
    let mut depth = 1_usize;
    let bytes = text.as_bytes();
    let mut i = 0;
    while i + 1 < bytes.len() {
        match (bytes[i], bytes[i + 1]) {
            (b'/', b'*') => depth += 1,
            (b'*', b'/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return &text[i..];
        }
    }
    ""
}

/// Why a text cannot be the name of a pipeline or a stream, which becomes a folder's name and a part of SQL names.
pub(crate) fn id_fault(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("it is empty".into());
    }
    if id.len() > 200 {
        return Some("it is longer than 200 bytes".into());
    }
    if id.starts_with('.') {
        return Some("it begins with a dot".into());
    }
    if id.contains("..") {
        return Some("it has two dots in a row".into());
    }
    let wrong = id.chars().find(|c| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'))?;
    Some(match wrong {
        ' ' => "it has a space".into(),
        c if c.is_control() => "it has a control character".into(),
        c => format!("it has `{c}`"),
    })
}

/// Why a text cannot be the name of a connection, by which SQL names its tables.
pub(crate) fn connection_fault(name: &str) -> Option<&'static str> {
    let wrong = |c: char| !c.is_alphanumeric() && c != '_' && c != '-';
    (name.is_empty() || name.len() > 200 || name.contains(wrong))
        .then_some("a connection's name may have letters, digits, `_` and `-` only")
}

/// A stream for a message: by its id, where that is one.
pub(super) fn stream_of(id: &str) -> String {
    if id_fault(id).is_none() { format!("stream {id}") } else { "a stream".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_begins_with_the_word_select_or_with() {
        for text in [
            "SELECT 1",
            "  \n select*from t",
            "With x AS (SELECT 1) SELECT * FROM x",
            "-- why\n/* a /* nested */ b */ SELECT\t1",
            "select(1)",
            "select",
        ] {
            assert!(begins_with_query(text), "{text}");
        }
        for text in
            ["orders", "selected", "with_tax", "select.orders", "\"select\"", "-- SELECT 1", "/* SELECT", "", "日本"]
        {
            assert!(!begins_with_query(text), "{text}");
        }
    }

    #[test]
    fn an_id_is_fit_for_a_folder() {
        for id in ["orders", "日本", "a.b-c_1", "Größe"] {
            assert_eq!(id_fault(id), None, "{id}");
        }
        for id in ["", "..", ".hidden", "a/b", "a..b", "a b", "a\0", "a\nb", "a\\b", "a:b", "a,b"] {
            assert!(id_fault(id).is_some(), "{id:?}");
        }
        assert!(id_fault(&"x".repeat(201)).is_some());
    }
}
