//! Checks of a result before it is published, and limits for the rows of a window.

use std::fs;

use serde_json::Value;

use crate::kill::kill_at;
use crate::support::{DAY_0, HOUR, Project, Row, TINY, write_rows};

/// `TINY` with more tables before its first step.
fn with(added: &str) -> String {
    let config = TINY.replacen("[[pipeline.tiny.step]]", &format!("{added}\n{STEP}"), 1);
    assert_ne!(config, TINY);
    config
}

const STEP: &str = "[[pipeline.tiny.step]]";

/// A check called `name`, which is an error unless `more` says otherwise.
fn check(name: &str, sql: &str, more: &str) -> String {
    format!("[[pipeline.tiny.check]]\nname = \"{name}\"\nsql = \"\"\"{sql}\"\"\"\n{more}\n")
}

fn warn(name: &str, sql: &str) -> String {
    check(name, sql, "severity = \"warn\"")
}

/// So many hours after [`DAY_0`].
fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// What stands in the object of `totals` of an hour.
fn totals(project: &Project, hour: i64) -> Option<Vec<String>> {
    let key = format!("out/totals/dt=2026-01-01/hour={hour:02}/data.parquet");
    project.outputs().remove(&key)
}

/// The only pipeline of the document of a command that ends with `exit_code`.
#[track_caller]
fn told(project: &Project, args: &[&str], exit_code: i32) -> Value {
    let (code, mut document) = project.json(args);
    assert_eq!(code, exit_code, "{document}");
    document["pipelines"][0].take()
}

/// The checks of each window of the last commit.
fn found(project: &Project) -> Vec<Value> {
    let commits = project.entries("tiny");
    let last = commits.iter().rfind(|entry| entry["kind"] == "commit").unwrap();
    last["windows"].as_array().unwrap().iter().map(|window| window["checks"].clone()).collect()
}

const NONE_BAD: &str = "SELECT * FROM totals WHERE total < 0";

#[test]
fn what_a_check_finds_is_not_published() {
    let config = with(&check("none_bad", NONE_BAD, ""));
    let project = Project::new(&config);
    project
        .feed("a.parquet", &[(at(0), "a", 1), (at(1), "a", 2), (at(2), "a", 3), (at(3), "a", 4)]);
    let run = told(&project, &["run"], 0);
    assert_eq!(run["windows_done"], 3);
    assert_eq!(found(&project)[0], serde_json::json!([{ "name": "none_bad", "rows": 0 }]));

    // A late row breaks one window of two that it makes due, and a new one is bad too.
    project.feed(
        "b.parquet",
        &[(at(0), "b", -7), (at(1), "b", 7), (at(3), "c", -9), (at(3), "d", -9), (at(5), "c", 9)],
    );
    let run = told(&project, &["run"], 4);
    assert_eq!((&run["windows_done"], &run["windows_failed"]), (&1.into(), &2.into()));
    let failures = run["failures"].as_array().unwrap();
    let codes: Vec<_> = failures.iter().map(|failed| failed["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["HW4005", "HW4005"]);
    let of = |hour: &str| {
        let failed = failures.iter().find(|failed| failed["start"] == hour).unwrap();
        (failed["message"].as_str().unwrap(), failed["hint"].as_str().unwrap())
    };
    let (message, hint) = of("2026-01-01T03:00:00Z");
    assert_eq!(
        message,
        "check `none_bad` found 2 rows in the result of window 2026-01-01 03:00 – 04:00"
    );
    assert!(hint.contains("severity = \"warn\"") && hint.contains("skip"), "{hint}");
    assert!(of("2026-01-01T00:00:00Z").0.contains("found 1 row in"));
    assert_eq!(run["watermark"], "2026-01-01T03:00:00Z");
    // The old output stands, the other window went on, the new one has nothing.
    assert_eq!(totals(&project, 0).unwrap(), ["key=a n=1 total=1"]);
    assert_eq!(totals(&project, 1).unwrap(), ["key=a n=1 total=2", "key=b n=1 total=7"]);
    assert_eq!(totals(&project, 3), None);
    project.assert_sound();
    let text = project.command(&["run"]).output().unwrap();
    let text = String::from_utf8([text.stdout, text.stderr].concat()).unwrap();
    assert!(text.contains("HW4005") && !text.contains("-9"), "{text}");

    // With mended rows all of it goes through.
    project.feed("b.parquet", &[(at(0), "b", 7), (at(3), "c", 9), (at(5), "c", 9)]);
    let run = told(&project, &["run"], 0);
    assert_eq!(run["watermark"], "2026-01-01T05:00:00Z");
    assert_eq!(totals(&project, 0).unwrap(), ["key=a n=1 total=1", "key=b n=1 total=7"]);
    project.assert_sound();
}

#[test]
fn a_warning_is_counted_and_published() {
    let many = "SELECT * FROM generate_series(1, 5000)";
    let config = with(&(warn("odd", NONE_BAD) + &warn("many", many)));
    let project = Project::new(&config);
    project.feed("a.parquet", &[(at(0), "a", -1), (at(0), "b", -2), (at(1), "b", 2)]);
    told(&project, &["run"], 0);
    let counts =
        serde_json::json!([{ "name": "odd", "rows": 2 }, { "name": "many", "rows": 1000 }]);
    assert_eq!(found(&project)[0], counts);
    assert_eq!(totals(&project, 0).unwrap().len(), 2);
    let (_, history) = project.json(&["history", "tiny"]);
    assert_eq!(history["commits"][0]["windows"][0]["checks"], counts);
    let (_, explained) = project.json(&["explain", "tiny", "2026-01-01T00"]);
    assert_eq!(explained["revisions"][0]["checks"], counts);
    for args in [vec!["history", "tiny"], vec!["explain", "tiny", "2026-01-01T00"]] {
        let text = String::from_utf8(project.command(&args).output().unwrap().stdout).unwrap();
        assert!(text.contains("checks found 1,002 rows"), "{text}");
    }
    // A rollback has those of the revision that it goes back to.
    project.feed("b.parquet", &[(at(0), "a", 5)]);
    told(&project, &["run"], 0);
    assert_eq!(found(&project)[0][0]["rows"], 1);
    told(
        &project,
        &["rollback", "tiny", "--from", "2026-01-01T00", "--to", "2026-01-01T01", "--yes"],
        0,
    );
    let (_, history) = project.json(&["history", "tiny"]);
    assert_eq!(history["commits"][0]["kind"], "rollback");
    assert_eq!(history["commits"][0]["windows"][0]["checks"], counts);
    project.assert_sound();
}

#[test]
fn a_check_sees_exactly_what_is_staged() {
    // Rows after dedup, of several outputs, in the order in which they are published.
    let dedup = "dedup = { keys = [\"key\"], order_by = [\"value\"] }\n";
    let count = |output: &str, rows: i64| {
        format!("SELECT 1 FROM (SELECT count(*) AS c FROM {output}) WHERE c <> {rows}")
    };
    let sorted = "SELECT * FROM (SELECT event_time, lag(event_time) OVER () AS before FROM large) \
                  WHERE before > event_time";
    let both = "SELECT * FROM totals t FULL JOIN large l ON t.key = l.key WHERE t.key IS NULL";
    let checks = [
        check("deduped", "SELECT * FROM totals WHERE n <> 1 OR total IS NULL", ""),
        check("totals", &count("totals", 3), ""),
        check("large", &count("large", 2), ""),
        check("sorted", sorted, ""),
        check("both", both, ""),
        warn("control", "SELECT key FROM large"),
        warn("ascending", &sorted.replace("before > event_time", "before < event_time")),
    ];
    let config =
        with(&checks.concat()).replace("path = \"in\"\n", &format!("path = \"in\"\n{dedup}"));
    let project = Project::new(&config);
    let rows = [
        (at(0) + 9, "c", 70),
        (at(0) + 1, "a", 1),
        (at(0) + 2, "a", 60),
        (at(0), "b", 7),
        (at(0), "b", 3),
        (at(1), "z", 1),
    ];
    project.feed("a.parquet", &rows);
    told(&project, &["run"], 0);
    let rows = |check: usize| found(&project)[0][check]["rows"].clone();
    assert_eq!((rows(5), rows(6)), (2.into(), 1.into()));
    assert_eq!(totals(&project, 0).unwrap().len(), 3);
}

#[test]
fn a_check_may_name_the_window_and_references() {
    let outside =
        "SELECT * FROM large WHERE event_time < $window_start OR event_time >= $window_end";
    let inside = "SELECT * FROM large WHERE event_time >= $window_start";
    let unknown = "SELECT * FROM totals WHERE key NOT IN (SELECT key FROM keys)";
    let checks = [
        "[pipeline.tiny.reference.keys]\npath = \"keys.parquet\"\n".to_owned(),
        check("outside", outside, ""),
        warn("inside", inside),
        check("known", unknown, ""),
    ];
    let project = Project::new(&with(&checks.concat()));
    write_rows(&project.path("keys.parquet"), &[(at(0), "a", 0), (at(0), "b", 0)]);
    project.feed(
        "a.parquet",
        &[(at(0), "a", 60), (at(1), "b", 70), (at(1), "a", 80), (at(2), "x", 60), (at(3), "a", 1)],
    );
    let run = told(&project, &["run"], 4);
    assert_eq!(run["failures"][0]["start"], "2026-01-01T02:00:00Z");
    assert!(run["failures"][0]["message"].as_str().unwrap().contains("check `known` found 1 row"));
    let inside: Vec<_> = found(&project).iter().map(|checks| checks[1]["rows"].clone()).collect();
    assert_eq!(inside, [1, 2]);
}

#[test]
fn a_commit_that_changes_nothing_has_what_was_found_then() {
    let reference =
        "[pipeline.tiny.reference.keys]\npath = \"keys.parquet\"\non_change = \"reprocess\"\n";
    let unknown = warn("known", "SELECT * FROM totals WHERE key NOT IN (SELECT key FROM keys)");
    let project = Project::new(&with(&format!("{reference}{unknown}")));
    let keys = |rows: &[Row]| write_rows(&project.path("keys.parquet"), rows);
    keys(&[(at(0), "a", 0), (at(0), "b", 0)]);
    project.feed("a.parquet", &[(at(0), "a", 1), (at(0), "b", 1), (at(1), "a", 1)]);
    told(&project, &["run"], 0);
    assert_eq!(found(&project)[0][0]["rows"], 0);
    keys(&[(at(0), "a", 0), (at(0), "c", 0)]);
    assert_eq!(told(&project, &["run"], 0)["windows_unchanged"], 1);
    assert_eq!(found(&project)[0][0]["rows"], 1);
    project.assert_sound();
}

/// What `check` and `run` say of a check with this SQL, which is refused before anything is done.
#[track_caller]
fn refused(sql: &str, code: &str) -> String {
    let project = Project::new(&with(&check("c", sql, "")));
    project.feed("a.parquet", &[(at(0), "a", 1), (at(1), "a", 1)]);
    for command in ["check", "plan", "run"] {
        let (exit_code, document) = project.json(&[command]);
        assert_eq!(exit_code, 2, "{document}");
        assert_eq!(document["errors"][0]["code"], code, "{document}");
    }
    assert!(!project.path("_highwater/tiny/log").exists() && project.outputs().is_empty());
    let (_, document) = project.json(&["check"]);
    document["errors"][0].to_string()
}

#[test]
fn a_check_sees_nothing_else_and_only_asks() {
    let source = refused("SELECT * FROM events", "HW2001");
    assert!(source.contains("check `c` asks `events`, which is a source"), "{source}");
    assert!(source.contains("reference tables: large, totals"), "{source}");
    let unknown = refused("SELECT * FROM total", "HW2001");
    assert!(unknown.contains("reference tables: large, totals"), "{unknown}");
    refused("SELECT * FROM totals WHERE nope > 1", "HW2001");
    refused("SELECT * FROM totals WHERE n > $limit", "HW2001");
    refused("SELECT * FROM totals WHERE random() > 2", "HW2002");
    let statement = refused("DELETE FROM totals", "HW2003");
    assert!(statement.contains("a check is one SELECT"), "{statement}");
    let config = with(&check("c", "SELECT * FROM large", ""));
    let config = config.split("[pipeline.tiny.output.large]").next().unwrap();
    let project = Project::new(config);
    project.feed("a.parquet", &[(at(0), "a", 1), (at(1), "a", 1)]);
    let (_, document) = project.json(&["check"]);
    let said = document["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("`large`, which is a step that is not published"), "{said}");
}

#[test]
fn a_check_that_fails_fails_its_window_whatever_its_severity() {
    let sql = "SELECT * FROM totals WHERE 10 / total > 100";
    for check in [check("ratio", sql, ""), warn("ratio", sql)] {
        let project = Project::new(&with(&check));
        project.feed("a.parquet", &[(at(0), "a", 0), (at(1), "a", 1), (at(2), "a", 1)]);
        let run = told(&project, &["run"], 3);
        assert_eq!(run["windows_done"], 1);
        assert_eq!(run["failures"][0]["code"], "HW2010");
        let message = run["failures"][0]["message"].as_str().unwrap();
        let is_it = message.starts_with("check `ratio`: ") && message.contains("ivide by zero");
        assert!(is_it, "{message}");
        project.assert_sound();
    }
}

#[test]
fn another_check_is_another_query_and_another_severity_is_none() {
    let project = Project::new(&with(&check("c", NONE_BAD, "")));
    project.feed("a.parquet", &[(at(0), "a", 1), (at(1), "a", 1)]);
    told(&project, &["run"], 0);
    for (checks, outdated) in [
        (check("c", &format!("-- none\n{NONE_BAD}"), ""), 0),
        (warn("c", NONE_BAD), 0),
        (check("c", "SELECT * FROM totals WHERE total < 1", ""), 1),
        (String::new(), 1),
    ] {
        fs::write(project.path("config.toml"), with(&checks)).unwrap();
        assert_eq!(told(&project, &["plan"], 0)["outdated"], outdated, "{checks}");
    }
}

/// Limits, and a rule each that drops and quarantines.
fn limited(limits: &str) -> Project {
    let rules = "rule = [{ name = \"low\", expect = \"value > 0\", on_violation = \"drop\" }, \
                 { name = \"high\", expect = \"value < 100\" }]\n";
    let config = with(&format!("[pipeline.tiny.quality]\n{limits}\n"));
    Project::new(&config.replace("path = \"in\"\n", &format!("path = \"in\"\n{rules}")))
}

/// Ten rows of an hour, of which the first are bad by turns.
fn ten(hour: i64, bad: usize) -> Vec<Row> {
    let value = |row: usize| match row {
        row if row >= bad => 5,
        row if row % 2 == 0 => -1,
        _ => 500,
    };
    (0..10).map(|row| (at(hour), "a", value(row))).collect()
}

#[test]
fn limits_refuse_what_is_beyond_them() {
    for (limits, said) in [
        (
            "max_bad_ratio = 0.3",
            "quality gate: 40% of the rows of window 2026-01-01 01:00 – 02:00 are bad (4 of 10), \
             more than max_bad_ratio = 0.3: low 2, high 2",
        ),
        (
            "max_bad_rows = 3",
            "quality gate: 4 rows of window 2026-01-01 01:00 – 02:00 are bad, more than \
             max_bad_rows = 3: low 2, high 2",
        ),
        (
            "min_rows = 7",
            "quality gate: 6 of 10 rows of window 2026-01-01 01:00 – 02:00 are used, fewer than \
             min_rows = 7",
        ),
    ] {
        let project = limited(limits);
        let rows = [ten(0, 3), ten(1, 4), ten(2, 0), vec![(at(3), "a", 1)]].concat();
        project.feed("a.parquet", &rows);
        let run = told(&project, &["run"], 4);
        assert_eq!(run["windows_done"], 2, "{limits}");
        assert_eq!(run["failures"][0]["code"], "HW4001");
        assert_eq!(run["failures"][0]["message"], said);
        assert!(run["failures"][0]["hint"].as_str().unwrap().contains("quarantine"));
        assert_eq!(run["watermark"], "2026-01-01T01:00:00Z");
        // Nothing of it is published, not its quarantine either.
        let quarantined = |hour: i64| {
            let folder = format!("quarantine/tiny/dt=2026-01-01/hr={hour:02}/events.parquet");
            project.path(&folder).exists()
        };
        assert_eq!((quarantined(0), quarantined(1)), (true, false));
        assert_eq!(totals(&project, 1), None);
    }
}

#[test]
fn a_closed_window_without_a_row_has_too_few() {
    let project = limited("min_rows = 1");
    project.feed("a.parquet", &[(at(0), "a", 1), (at(3), "a", 1), (at(4), "a", 1)]);
    let plan = told(&project, &["plan"], 0);
    assert_eq!(
        (plan["windows"].as_array().unwrap().len(), &plan["withheld"]),
        (2, &serde_json::json!([]))
    );
    assert_eq!(plan["refused"].as_array().unwrap().len(), 2);
    let run = told(&project, &["run"], 4);
    assert_eq!((&run["windows_done"], &run["windows_failed"]), (&2.into(), &2.into()));
    assert_eq!(
        run["failures"][0]["message"],
        "quality gate: window 2026-01-01 01:00 – 02:00 has no row, fewer than min_rows = 1"
    );
    assert_eq!(run["watermark"], "2026-01-01T01:00:00Z");
    let status = told(&project, &["status"], 0);
    assert_eq!((&status["state"], &status["windows"]["failed"]), (&"failed".into(), &2.into()));
    // Again the same, and nothing more in the log.
    let entries = project.entries("tiny").len();
    told(&project, &["run"], 4);
    assert_eq!(project.entries("tiny").len(), entries);
    // Rows that come, and an operator, fill the gap.
    project.feed("b.parquet", &[(at(1), "b", 1)]);
    told(&project, &["run"], 4);
    assert_eq!(totals(&project, 1).unwrap(), ["key=b n=1 total=1"]);
    let skip =
        ["skip", "tiny", "--from", "2026-01-01T02", "--to", "2026-01-01T03", "--reason", "x"];
    told(&project, &skip, 0);
    assert_eq!(told(&project, &["run"], 0)["watermark"], "2026-01-01T04:00:00Z");
    project.assert_sound();
}

#[test]
fn a_long_gap_is_refused_at_its_beginning() {
    let project = limited("min_rows = 1");
    project.feed("a.parquet", &[(at(0), "a", 1), (at(500), "a", 1), (at(501), "a", 1)]);
    let run = told(&project, &["run"], 4);
    assert_eq!((&run["windows_done"], &run["windows_failed"]), (&2.into(), &100.into()));
    let plan = told(&project, &["plan"], 0);
    let withheld =
        serde_json::json!([{ "start": "2026-01-05T05:00:00Z", "end": "2026-01-21T20:00:00Z" }]);
    assert_eq!(plan["withheld"], withheld);
    let (_, explained) = project.json(&["explain", "tiny", "2026-01-10T00"]);
    assert_eq!(explained["state"], "held");
    assert!(explained["why_not"].as_str().unwrap().contains("min_rows = 1"), "{explained}");
    let skip = ["skip", "tiny", "--from", "2026-01-01", "--to", "2026-02-01", "--reason", "x"];
    told(&project, &skip, 0);
    assert_eq!(told(&project, &["run"], 0)["watermark"], "2026-01-21T21:00:00Z");
}

#[test]
fn a_window_in_doubt_that_is_refused_is_what_it_was() {
    let limits = "[pipeline.tiny.quality]\nmin_rows = 1\n";
    let project = Project::new(&with(&(check("none_bad", NONE_BAD, "") + limits)));
    project.feed("a.parquet", &[(at(0), "a", 60), (at(1), "a", 60)]);
    kill_at(&project, &["run"], "commit.before:1");
    assert_ne!(project.problems(), [], "in doubt");
    project.feed("a.parquet", &[(at(0), "a", -60), (at(1), "a", 60)]);
    told(&project, &["run"], 4);
    // It never had a row: neither the check nor the limit is asked of that.
    assert_eq!(totals(&project, 0).unwrap(), [""; 0]);
    project.assert_sound();
    project.feed("a.parquet", &[(at(0), "a", 60), (at(1), "a", 60)]);
    told(&project, &["run"], 0);
    assert_eq!(totals(&project, 0).unwrap(), ["key=a n=1 total=60"]);
    project.assert_sound();
}

#[test]
fn what_was_published_is_compared_whatever_the_limits_are_now() {
    let project = limited("max_bad_rows = 4");
    project.feed("a.parquet", &[ten(0, 4), vec![(at(1), "a", 1)]].concat());
    told(&project, &["run"], 0);
    let config = fs::read_to_string(project.path("config.toml")).unwrap();
    fs::write(project.path("config.toml"), config.replace("max_bad_rows = 4", "min_rows = 9"))
        .unwrap();
    let (code, verified) = project.json(&["verify", "--recompute"]);
    assert_eq!((code, &verified["recomputed"]["equal"]), (0, &1.into()), "{verified}");
}
