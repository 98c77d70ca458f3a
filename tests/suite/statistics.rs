//! What files say of their size, and what plans make of it.

use crate::support::Project;

/// Runs a statement, and gives what it prints as CSV.
fn asked(project: &Project, sql: &str, more: &[&str]) -> String {
    let mut args = vec!["query", "--write", "--format", "csv"];
    args.extend(more);
    args.extend(["--", sql]);
    project.dxt(&args).exits(0).out
}

/// Whether a physical plan reads one file before another.
fn reads_first(plan: &str, one: &str, other: &str) -> bool {
    let physical = plan.split_once("physical_plan").expect("a physical plan").1;
    physical.find(one).expect(one) < physical.find(other).expect(other)
}

#[test]
fn files_are_joined_by_a_hash_table_where_it_fits_and_by_sorting_where_not() {
    let project = Project::new();
    asked(
        &project,
        "COPY (SELECT value AS id, 'n' || value AS name FROM generate_series(1, 1000)) TO 'small.parquet'",
        &[],
    );
    asked(&project, "COPY (SELECT value AS id FROM generate_series(1, 2000000)) TO 'large.parquet'", &[]);
    asked(&project, "COPY (SELECT value * 3 AS id FROM generate_series(1, 2000000)) TO 'other.parquet'", &[]);
    let joined = |left: &str, right: &str| {
        let select = format!("SELECT count(*) AS n, max(r.id) AS m FROM '{left}' l JOIN '{right}' r ON l.id = r.id");
        let limit = ["--memory-limit", "256MB"];
        (asked(&project, &select, &limit), asked(&project, &format!("EXPLAIN {select}"), &limit))
    };
    for (left, right) in [("small.parquet", "large.parquet"), ("large.parquet", "small.parquet")] {
        let (rows, plan) = joined(left, right);
        assert_eq!(rows, "n,m\n1000,1000\n");
        assert!(plan.contains("HashJoinExec") && !plan.contains("SortMergeJoin"), "{plan}");
        // The small one is what the table is made of.
        assert!(reads_first(&plan, "small.parquet", "large.parquet"), "{plan}");
    }
    let (rows, plan) = joined("large.parquet", "other.parquet");
    assert_eq!(rows, "n,m\n666666,1999998\n");
    assert!(plan.contains("SortMergeJoin") && !plan.contains("HashJoinExec"), "{plan}");
}

#[test]
fn the_size_of_text_files_is_guessed_from_their_bytes() {
    let project = Project::new();
    asked(
        &project,
        "COPY (SELECT value AS id, 'n' || value AS name FROM generate_series(1, 1000)) TO 'small.csv'",
        &[],
    );
    asked(
        &project,
        "COPY (SELECT value AS id, 'n' || value AS name FROM generate_series(1, 300000)) TO 'large.jsonl'",
        &[],
    );
    let select = "SELECT count(*) AS n FROM 'large.jsonl' l JOIN 'small.csv' r ON l.id = r.id";
    assert_eq!(asked(&project, select, &["--memory-limit", "256MB"]), "n\n1000\n");
    let plan = asked(&project, &format!("EXPLAIN {select}"), &["--memory-limit", "256MB"]);
    assert!(plan.contains("HashJoinExec"), "{plan}");
    assert!(reads_first(&plan, "small.csv", "large.jsonl"), "{plan}");
}

#[test]
fn counts_of_parquet_come_from_footers_only_where_these_know_them() {
    let project = Project::new();
    let make = "COPY (SELECT value AS id, CASE WHEN value % 3 = 0 THEN value END AS some, \
                CASE WHEN value = 7 THEN arrow_cast('NaN', 'Float64') ELSE arrow_cast(value, 'Float64') END AS f \
                FROM generate_series(1, 90)) TO 'a.parquet'";
    asked(&project, make, &[]);
    asked(&project, "COPY (SELECT value AS id FROM generate_series(91, 100)) TO 'b.parquet'", &[]);
    for (sql, rows) in [
        ("SELECT count(*) AS n FROM '*.parquet'", "n\n100\n"),
        ("SELECT count(*) AS n FROM '*.parquet' WHERE id > 95", "n\n5\n"),
        ("SELECT count(*) AS n FROM (SELECT * FROM '*.parquet' LIMIT 5)", "n\n5\n"),
        ("SELECT count(*) AS n FROM (SELECT * FROM '*.parquet' LIMIT 5 OFFSET 98)", "n\n2\n"),
        ("SELECT count(*) AS n FROM (SELECT id FROM 'a.parquet' UNION ALL SELECT id FROM 'b.parquet')", "n\n100\n"),
        ("SELECT count(some) AS n FROM '*.parquet'", "n\n30\n"),
        ("SELECT min(id) AS a, max(id) AS b, max(some) AS c FROM '*.parquet'", "a,b,c\n1,100,90\n"),
        // It is greater than all other numbers, and in no statistics.
        ("SELECT max(f) AS f FROM 'a.parquet'", "f\nNaN\n"),
        // No row has both: that each condition names one value says nothing of how many there are.
        (
            "SELECT count(DISTINCT id) AS a, count(DISTINCT f) AS b FROM 'a.parquet' WHERE id = 5 AND f = 6",
            "a,b\n0,0\n",
        ),
        ("SELECT count(*) AS n, count(DISTINCT id) AS d FROM 'b.parquet'", "n,d\n10,10\n"),
        ("SELECT count(*) FILTER (WHERE id > 95) AS n FROM 'b.parquet'", "n\n5\n"),
        ("SELECT count(*) AS n FROM 'b.parquet' a JOIN 'b.parquet' b ON a.id = b.id + 5", "n\n5\n"),
    ] {
        assert_eq!(asked(&project, sql, &[]), rows, "{sql}");
    }
    // The width of a row is that of a row, whatever the file's size.
    let limited = "SELECT count(*) AS n FROM (SELECT * FROM 'a.csv' LIMIT 3) a JOIN 'a.csv' b ON a.id = b.id";
    asked(&project, "COPY (SELECT * FROM 'b.parquet') TO 'a.csv'", &[]);
    assert_eq!(asked(&project, limited, &[]), "n\n3\n");
    let plan = asked(&project, "EXPLAIN SELECT count(*) FROM '*.parquet'", &[]);
    assert!(!plan.contains("FileExec"), "{plan}");
}

#[test]
fn a_hash_table_that_is_larger_than_it_was_thought_to_be_is_no_error_but_a_sort() {
    let project = Project::new();
    // Half of the keys are one: a join of these with each other has far more rows than either side.
    asked(
        &project,
        "COPY (SELECT value AS k, CASE WHEN value % 2 = 0 THEN 1 ELSE value END AS j, \
         'a text that takes some room in the memory of a join ' || value AS t FROM generate_series(1, 3000)) TO 'skewed.parquet'",
        &[],
    );
    asked(&project, "COPY (SELECT value AS id FROM generate_series(1, 20000)) TO 'wide/a.parquet'", &[]);
    asked(&project, "COPY (SELECT value AS id FROM generate_series(1, 20000)) TO 'wide/b.parquet'", &[]);
    let from = "FROM (SELECT a.k, b.t FROM 'skewed.parquet' a JOIN 'skewed.parquet' b ON a.j = b.j WHERE a.k < 600) x \
                JOIN 'wide/*.parquet' c ON x.k = c.id";
    let limit = ["--memory-limit", "256MB"];
    let select = format!("SELECT count(*) AS n, count(DISTINCT x.t) AS d {from}");
    assert!(asked(&project, &format!("EXPLAIN {select}"), &limit).contains("HashJoinExec"));
    assert_eq!(asked(&project, &select, &limit), "n,d\n901198,1800\n");
    // A load begins once, whichever way its rows come.
    let copy = format!("COPY (SELECT x.k, x.t {from}) TO 'out.parquet'");
    let mut args = vec!["query", "--write", "-v", "--memory-limit", "256MB", "--"];
    args.push(&copy);
    let ran = project.dxt(&args).exits(0);
    assert!(ran.err.contains("it is done by sorting"), "the test needs a table that does not fit: {}", ran.err);
    assert_eq!(asked(&project, "SELECT count(*) AS n FROM 'out.parquet'", &[]), "n\n901198\n");
}
