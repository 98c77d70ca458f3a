use datafusion::prelude::SessionConfig;

use super::*;

fn params(pairs: &[(&str, Option<TypeName>, &str)]) -> Params {
    let param = |dtype, value: &str| Param { dtype, value: Some(value.to_string()) };
    pairs.iter().map(|(name, dtype, value)| (name.to_string(), param(*dtype, value))).collect()
}

/// The rows of a query over a table `t (d date, at timestamp, n bigint, amount decimal(12, 2), s text)`.
async fn rows(sql: &str, params: &Params) -> Result<String> {
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let context = SessionContext::new_with_config(config.set_bool("datafusion.sql_parser.collect_spans", true));
    let table = "CREATE TABLE t AS SELECT DATE '2026-01-01' AS d, TIMESTAMP '2026-01-01 10:00:00' AS at, \
                 CAST(1 AS BIGINT) AS n, CAST(1.50 AS DECIMAL(12, 2)) AS amount, 'it''s' AS s \
                 UNION ALL SELECT DATE '2026-01-02', TIMESTAMP '2026-01-02 10:00:00', 2, 2.50, 'b'";
    context.sql(table).await.unwrap().collect().await.unwrap();
    let plan = plan(&context, sql, params, None).await?;
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let text = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    Ok(text
        .lines()
        .skip(3)
        .filter(|l| !l.starts_with('+'))
        .map(|l| l.replace([' ', '|'], ""))
        .collect::<Vec<_>>()
        .join(","))
}

#[tokio::test]
async fn a_variable_has_the_type_of_what_it_is_compared_with() {
    let day = params(&[("day", None, "2026-01-02"), ("n", None, "2"), ("s", None, "it's"), ("least", None, "1.505")]);
    for sql in [
        "SELECT n FROM t WHERE d >= $day",
        "SELECT n FROM t WHERE $day <= d",
        "SELECT n FROM t WHERE at > $day",
        "SELECT n FROM t WHERE n = $n",
        "SELECT n FROM t WHERE n IN ($n, 7)",
        "SELECT n FROM t WHERE d BETWEEN $day AND '2027-01-01'",
        "SELECT n FROM t WHERE s <> $s",
        "SELECT n FROM t WHERE amount > $least",
        "SELECT n FROM t WHERE d = $day::date",
        "SELECT n FROM t WHERE d = CAST($day AS date)",
        "SELECT n FROM t WHERE date_trunc('month', at) < $day AND d = $day",
        "SELECT max(n) FROM t WHERE n IN (SELECT n FROM t WHERE d = $day)",
        "WITH p AS (SELECT $day AS day) SELECT n FROM t JOIN p ON t.d = CAST(p.day AS date)",
        "SELECT n FROM t ORDER BY n DESC LIMIT 1 OFFSET $zero",
        "SELECT n FROM (SELECT n, d FROM t WHERE d > '2000-01-01') x WHERE x.d = $day",
        "SELECT n FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE u.n = t.n AND u.d = $day)",
    ] {
        let mut all = day.clone();
        all.extend(params(&[("zero", None, "0")]));
        assert_eq!(rows(sql, &all).await.unwrap_or_else(|e| panic!("{sql}: {}", e.report())), "2", "{sql}");
    }
}

#[tokio::test]
async fn a_declared_type_holds_wherever_the_variable_stands() {
    let declared = params(&[("day", Some(TypeName::Date), "2026-01-01"), ("n", Some(TypeName::Int64), "1")]);
    for (sql, expected) in [
        ("SELECT n FROM t WHERE d = $day + INTERVAL '1 day'", "2"),
        ("SELECT n FROM t WHERE at < $day + INTERVAL '1 day'", "1"),
        ("SELECT count(*) FROM t WHERE at >= $day", "2"),
        ("SELECT n FROM t WHERE at BETWEEN $day AND '2026-01-01 23:00:00'", "1"),
        ("SELECT n FROM t WHERE amount > $n AND n IN ($n, 9)", "1"),
        ("SELECT $day AS day, arrow_typeof($day) AS t", "2026-01-01Date32"),
        ("SELECT n FROM t WHERE at >= date_trunc('month', $day) ORDER BY n LIMIT $n", "1"),
        ("SELECT extract(year FROM $day) AS y", "2026"),
    ] {
        let got = rows(sql, &declared).await.unwrap_or_else(|e| panic!("{sql}: {}", e.report()));
        assert_eq!(got, expected, "{sql}");
    }
    let numbers =
        params(&[("x", Some(TypeName::Decimal), "-12.50"), ("u", Some(TypeName::Uint64), "18446744073709551615")]);
    assert_eq!(rows("SELECT $x AS x, $u AS u", &numbers).await.unwrap(), "-12.5018446744073709551615");
}

#[tokio::test]
async fn a_value_is_never_a_part_of_the_sql() {
    for hostile in ["'; DROP TABLE t; --", "x' OR '1'='1", "$day", "\\'", "a\0b", "/*", "日本\n"] {
        let given = params(&[("s", None, hostile)]);
        assert_eq!(rows("SELECT n FROM t WHERE s = $s", &given).await.unwrap(), "", "{hostile}");
        assert_eq!(rows("SELECT count(*) FROM t WHERE $s = $s", &given).await.unwrap(), "2", "{hostile}");
        let length = hostile.chars().count().to_string();
        assert_eq!(rows("SELECT char_length($s)", &given).await.unwrap(), length, "{hostile}");
    }
}

#[tokio::test]
async fn names_of_columns_do_not_depend_on_values() {
    let context = SessionContext::new();
    for value in ["a", "b"] {
        let plan = plan(&context, "SELECT upper($s), $s", &params(&[("s", None, value)]), None).await.unwrap();
        assert_eq!(plan.schema().field_names(), ["upper($s)", "$s"]);
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_names_the_variable_and_the_type() {
    let wrong = params(&[("day", None, "tomorrow"), ("n", None, "2.5")]);
    for (sql, said) in [
        ("SELECT n FROM t WHERE d >= $day", "the variable day is `tomorrow`, which is no date"),
        ("SELECT n FROM t WHERE n = $n", "the variable n is `2.5`, which is no int64"),
        ("SELECT n FROM t LIMIT $n", "the variable n is `2.5`, which is no int64"),
        ("SELECT n FROM t WHERE d >= $dya", "the variable dya has no value"),
        ("SELECT n FROM t WHERE d >= $1", "`$1` names no variable"),
    ] {
        let error = rows(sql, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{sql}: {error}");
        assert!(error.to_string().contains(said) && error.hint().is_some(), "{sql}: {error}");
    }
    let typo = rows("SELECT n FROM t WHERE d >= $dya", &wrong).await.unwrap_err();
    assert_eq!(typo.hint(), Some("did you mean $day?"));
}

#[test]
fn a_dollar_in_quotes_or_comments_is_no_variable() {
    let names = |sql: &str| named(sql).into_iter().map(|n| (n.name, n.line, n.column)).collect::<Vec<_>>();
    assert_eq!(names("SELECT '$a', \"$b\", $$ $c $$, -- $d\n/* $e */ $f, a$g"), [("f".to_string(), 2, 10)]);
}
