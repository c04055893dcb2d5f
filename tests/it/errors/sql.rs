//! What wrong SQL gets.

use std::fs;

use super::{fed, place, refused, told, with};
use crate::support::{DAY_0, HOUR, Project};

/// `TINY` with this SQL as its first step.
fn with_sql(sql: &str) -> String {
    with("SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key", sql)
}

#[test]
fn sql_that_is_no_sql() {
    let config = with_sql("SELECT key FRM events");
    let (line, column) = place(&config, "events\"");
    refused(&fed(&config), &["run"], 2, "HW2001")
        .says("step `totals`")
        .notes("nothing was computed")
        .at("config.toml", line, column);
}

#[test]
fn a_column_that_does_not_exist() {
    let config = with_sql("SELECT key, sum(valu) AS n FROM events GROUP BY key");
    let (line, column) = place(&config, "valu)");
    refused(&fed(&config), &["run"], 2, "HW2001")
        .says("column 'valu' not found")
        .at("config.toml", line, column)
        .helps("`events.value`");
}

#[test]
fn a_table_that_does_not_exist() {
    let config = with_sql("SELECT key FROM evnts");
    let (line, column) = place(&config, "evnts");
    refused(&fed(&config), &["check"], 2, "HW2001").says("table 'evnts' not found").at(
        "config.toml",
        line,
        column,
    );
}

#[test]
fn a_mistake_in_a_file_of_sql() {
    let config = with_sql("X").replace(r#"sql = "X""#, r#"sql_file = "totals.sql""#);
    let project = fed(&config);
    let sql = "SELECT key,\n       count(vale) AS n\nFROM events GROUP BY key\n";
    fs::write(project.path("totals.sql"), sql).unwrap();
    for command in ["run", "plan", "check"] {
        refused(&project, &[command], 2, "HW2001").says("'vale'").at("totals.sql", 2, 14);
    }
}

#[test]
fn a_function_of_the_wrong_type() {
    let config = with_sql("SELECT key, sum(key) AS n FROM events GROUP BY key");
    let (line, column) = place(&config, "sum(key)");
    let told = refused(&fed(&config), &["run"], 2, "HW2001").says("'sum(Utf8)'");
    assert!(!told.people.contains("bug report"), "{}", told.people);
    told.at("config.toml", line, column);
}

#[test]
fn sql_with_another_answer_each_time() {
    for function in ["now()", "random()", "uuid()"] {
        let config =
            with_sql(&format!("SELECT key, max({function}) AS n FROM events GROUP BY key"));
        let (line, column) = place(&config, function);
        refused(&fed(&config), &["run"], 2, "HW2002")
            .says(function)
            .at("config.toml", line, column)
            .helps("$window_end");
    }
}

#[test]
fn sql_that_does_something() {
    for sql in [
        "CREATE TABLE x AS SELECT 1",
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "COPY events TO 'x.parquet'",
        "SET x = 1",
        "SELECT key FROM events; SELECT 1",
    ] {
        let told = refused(&fed(&with_sql(sql)), &["run"], 2, "HW2003");
        told.notes("nothing was computed").helps("a step is one SELECT");
    }
}

#[test]
fn a_cast_that_fails_in_one_window() {
    let config = with_sql("SELECT key, sum(CAST(key AS BIGINT)) AS total FROM events GROUP BY key");
    let project = Project::new(&config);
    let rows = [(DAY_0, "1", 1), (DAY_0 + HOUR, "x", 2), (DAY_0 + 2 * HOUR, "3", 3)];
    project.feed("one.parquet", &rows);
    let text = project.copy().command(&["run"]).output().unwrap();
    let machine = project.command(&["run", "--format", "json"]).output().unwrap();
    told(&text, &machine, 3, "HW2010").says("Cannot cast string 'x'").helps("highwater skip");
    // The second time nothing else is done.
    refused(&project, &["run", "-q"], 1, "HW2010");
}
