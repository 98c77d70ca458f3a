//! The keywords of SQL that are completed and coloured.

use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS,
};

/// Those that a statement begins with.
pub const FIRST: &[&str] =
    &["SELECT", "WITH", "VALUES", "EXPLAIN", "DESCRIBE", "SHOW", "INSERT INTO", "COPY", "SET", "CREATE VIEW"];

/// Those that are completed, in order.
pub const COMMON: &[&str] = &[
    "ALL",
    "ANALYZE",
    "AND",
    "ANTI",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLUMNS",
    "COPY",
    "CREATE",
    "CROSS",
    "CURRENT",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FETCH",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FORMAT",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "RIGHT",
    "ROW",
    "ROWS",
    "SELECT",
    "SEMI",
    "SET",
    "SHOW",
    "SIMILAR",
    "STORED",
    "TABLE",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRY_CAST",
    "UNBOUNDED",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "VERBOSE",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Whether a word is coloured as a keyword.
pub fn is_common(word: &str) -> bool {
    COMMON.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// Whether a name has to stand in quotes because it is a keyword that cannot be a name everywhere.
pub fn is_reserved(name: &str) -> bool {
    let Ok(index) = ALL_KEYWORDS.binary_search(&name.to_ascii_uppercase().as_str()) else { return false };
    let keyword = &ALL_KEYWORDS_INDEX[index];
    let reserved = RESERVED_FOR_TABLE_ALIAS.contains(keyword) || RESERVED_FOR_COLUMN_ALIAS.contains(keyword);
    // The parser sees a type and a function in the last two, whatever follows.
    reserved || is_common(name) || matches!(name, "struct" | "trim")
}

/// A name as SQL takes it: as it is, or in double quotes.
pub fn quoted_if_needed(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    if first && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !is_reserved(name) {
        return name.to_string();
    }
    quoted(name)
}

/// A name in double quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A whole name as SQL takes it.
pub fn spelled(parts: &[String]) -> String {
    parts.iter().map(|part| quoted_if_needed(part)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_the_parser_would_read_them_otherwise() {
        for (name, spelled) in [
            ("orders", "orders"),
            ("o_2", "o_2"),
            ("Orders", "\"Orders\""),
            ("2x", "\"2x\""),
            ("a b", "\"a b\""),
            ("a\"b", "\"a\"\"b\""),
            ("order", "\"order\""),
            ("group", "\"group\""),
            ("events/x.parquet", "\"events/x.parquet\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted_if_needed(name), spelled);
        }
        assert_eq!(super::spelled(&["shop".into(), "Public".into(), "t".into()]), "shop.\"Public\".t");
    }

    #[test]
    fn keywords_are_in_order_as_they_are_searched() {
        assert!(COMMON.is_sorted() && ALL_KEYWORDS.is_sorted());
        assert!(is_common("select") && !is_common("orders"));
    }

    #[test]
    fn completed_names_are_read_back_by_the_parser() {
        use datafusion::sql::sqlparser::dialect::GenericDialect;
        use datafusion::sql::sqlparser::parser::Parser;
        let reads = |sql: String| Parser::parse_sql(&GenericDialect {}, &sql).is_ok();
        let unread: Vec<&str> = ALL_KEYWORDS
            .iter()
            .copied()
            .filter(|keyword| {
                let name = quoted_if_needed(&keyword.to_lowercase());
                let as_column = format!("SELECT {name}, t.{name} FROM t WHERE {name} = 1 ORDER BY {name}");
                !(reads(as_column)
                    && reads(format!("SELECT 1 FROM {name}.a.b"))
                    && reads(format!("SELECT 1 FROM c.{name}")))
            })
            .collect();
        assert_eq!(unread, Vec::<&str>::new());
    }
}
