//! Rules, quarantine and duplicates: what becomes of each row, in outputs and in the books.

pub(crate) mod model;
mod told;

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use highwater::run::Asked;

use crate::kill::{kill_at, run_well};
use crate::support::{
    DAY_0, Dice, HOUR, Project, Row, assert_good, block_on, code, each, files_below, rows_of,
    run_all,
};
use model::{Model, Variant};

/// How many histories are tried.
const HISTORIES: u64 = 150;

const MINUTE: i64 = 60_000_000;

/// One output with every row that the query is given.
pub(crate) const ROWS: &str = r#"
version = 1
name = "tiny"

[storage]
root = "."

[engine]
jobs = 2
threads = 2

[pipeline.tiny.window]
size = "1h"

[pipeline.tiny.source.events]
path = "in"
event_time = "event_time"

[[pipeline.tiny.source.events.rule]]
name = "small"
expect = "value >= 10"
reason = "the value is too small"

[[pipeline.tiny.source.events.rule]]
name = "not c"
expect = "key <> 'c'"
on_violation = "drop"

[[pipeline.tiny.source.events.rule]]
name = "large"
expect = "value < 90"
on_violation = "warn"

[[pipeline.tiny.step]]
name = "rows"
sql = "SELECT CAST(event_time AS BIGINT) AS at, key, value FROM events"

[pipeline.tiny.output.rows]
path = "out/rows/dt={start:%Y-%m-%d}/hour={start:%H}"
"#;

pub(crate) fn at(hour: i64, minute: i64) -> i64 {
    DAY_0 + hour * HOUR + minute * MINUTE
}

/// `ROWS` where duplicates are told by these keys of TOML.
pub(crate) fn with_dedup(dedup: &str) -> String {
    let time = "event_time = \"event_time\"\n";
    ROWS.replace(time, &format!("{time}dedup = {{ keys = [\"key\"], {dedup} }}\n"))
}

fn quarantined(project: &Project, hour: i64) -> Vec<String> {
    let path = format!("quarantine/tiny/dt=2026-01-01/hr={hour:02}/events.parquet");
    rows_of(&project.path(&path))
}

/// The last commit of the window that starts at `hour`.
fn committed(project: &Project, hour: i64) -> Value {
    let start = format!("2026-01-01T{hour:02}:00:00Z");
    let entries = project.entries("tiny");
    let windows = entries.iter().filter(|entry| entry["kind"] != "begin");
    let mut windows = windows.filter_map(|entry| entry["windows"].as_array()).flatten();
    windows.rfind(|window| window["start"] == start.as_str()).unwrap().clone()
}

#[test]
fn what_an_attempt_has_put_aside_does_not_outlive_its_rule() {
    let mut project = Project::new(ROWS);
    project.feed("x.parquet", &[(at(0, 1), "a", 50), (at(0, 2), "b", 3), (at(1, 0), "a", 20)]);
    kill_at(&project, &["run"], "commit.before:1");
    assert_eq!(quarantined(&project, 0).len(), 1, "it was published, and not committed");
    let rule = ROWS.find("[[pipeline.tiny.source.events.rule]]").unwrap();
    let step = ROWS.find("[[pipeline.tiny.step]]").unwrap();
    project.configure(&[&ROWS[..rule], &ROWS[step..]].concat());
    project.run();
    assert_eq!(quarantined(&project, 0), [""; 0], "no row is in two places");
    project.assert_sound();
}

#[test]
fn functions_that_are_only_ever_rewritten_can_be_used_in_rules() {
    let coalesce = "coalesce(nullif(value, 7), 0) >= 10 AND nvl(key, 'x') <> 'x'";
    let project = Project::new(&ROWS.replace("value >= 10", coalesce));
    project.feed("x.parquet", &[(at(0, 1), "a", 50), (at(0, 2), "b", 7), (at(1, 0), "a", 20)]);
    project.run();
    let path = "out/rows/dt=2026-01-01/hour=00/data.parquet";
    assert_eq!(project.outputs()[path], [format!("at={} key=a value=50", at(0, 1))]);
    assert_eq!(quarantined(&project, 0).len(), 1);
}

#[test]
fn a_row_that_breaks_a_rule_is_put_aside_whole_and_comes_back_once_it_is_mended() {
    let project = Project::new(ROWS);
    let feed = |value: i64| {
        let rows = [(at(0, 1), "a", 50), (at(0, 2), "b", value), (at(0, 3), "c", 5)];
        project.feed(
            "x.parquet",
            &[rows, [(at(0, 4), "c", 95), (at(0, 5), "d", 95), (at(1, 0), "a", 20)]].concat(),
        );
    };
    feed(3);
    project.run();
    assert_eq!(
        project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"],
        [format!("at={} key=a value=50", at(0, 1)), format!("at={} key=d value=95", at(0, 5)),]
    );
    let told = quarantined(&project, 0);
    assert_eq!(told.len(), 2);
    for (row, told) in [(1, &told[0]), (2, &told[1])] {
        let known = [
            "_rule=small".to_owned(),
            "_reason=the value is too small".to_owned(),
            "_source_file=in/x.parquet".to_owned(),
            format!("_source_row={row}"),
            "_window_start=2026-01-01T00:00:00Z".to_owned(),
        ];
        for known in known {
            assert!(told.contains(&known), "{known}: {told}");
        }
    }
    assert!(told[0].contains("key=b value=3") && told[0].contains("_rules=[small]"), "{told:?}");
    assert!(told[1].contains("key=c value=5") && told[1].contains("_rules=[small, not c]"));
    let window = committed(&project, 0);
    let rows = &window["rows"];
    let sums = ["in", "used", "quarantined", "dropped", "duplicate"].map(|key| rows[key].clone());
    assert_eq!(sums, [5, 2, 2, 1, 0]);
    let rule = |name, action, rows| {
        let mut rule = json!({"table": "events", "rule": name, "action": action});
        rule["rows"] = json!(rows);
        rule
    };
    let rules =
        [rule("small", "quarantine", 2), rule("not c", "drop", 1), rule("large", "warn", 2)];
    assert_eq!(window["balance"]["rules"], json!(rules));

    // The same again changes nothing; the file mended, the row is used, and is aside no more.
    run_well(
        &project,
        &["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"],
    );
    assert_eq!(quarantined(&project, 0), told);
    feed(30);
    project.run();
    assert_eq!(quarantined(&project, 0).len(), 1);
    assert_eq!(project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].len(), 3);
    project.assert_sound();
}

#[test]
fn a_window_without_bad_rows_has_no_quarantine_object() {
    let project = Project::new(ROWS);
    project.feed("x.parquet", &[(at(0, 1), "a", 50), (at(1, 0), "a", 3), (at(2, 0), "a", 20)]);
    project.run();
    let names = || {
        let names = files_below(project.path("quarantine"));
        names.into_iter().filter(|name| !name.ends_with("_OWNER.json")).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["tiny/dt=2026-01-01/hr=01/events.parquet"]);
    // A bad row that comes late brings one; once it is gone, the object stays without rows.
    project.feed("late.parquet", &[(at(0, 9), "late", 1)]);
    project.run();
    assert_eq!((names().len(), quarantined(&project, 0).len()), (2, 1));
    project.feed("late.parquet", &[(at(0, 9), "late", 11)]);
    project.run();
    assert_eq!((names().len(), quarantined(&project, 0).len()), (2, 0));
    assert_eq!(project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].len(), 2);
    project.assert_sound();
    // What was rolled back has no row aside either.
    run_well(
        &project,
        &["rollback", "tiny", "--window", "2026-01-01T00", "--revision", "2", "--yes"],
    );
    assert_eq!(quarantined(&project, 0).len(), 1);
    run_well(
        &project,
        &["rollback", "tiny", "--window", "2026-01-01T00", "--revision", "1", "--yes"],
    );
    assert_eq!((names().len(), quarantined(&project, 0).len()), (2, 0));
    project.assert_sound();
}

#[test]
fn a_kill_at_any_point_leaves_no_row_in_two_places() {
    let points = ["begin.after:1", "publish.before:1", "publish.after:1", "publish.after:2"];
    for point in points.into_iter().chain(["commit.before:1", "commit.after:1"]) {
        let project = Project::new(ROWS);
        project.feed("x.parquet", &[(at(0, 1), "a", 5), (at(0, 2), "b", 50), (at(1, 0), "a", 20)]);
        kill_at(&project, &["run"], point);
        // Meanwhile the row is mended: the attempt that may lie there must go.
        project.feed("x.parquet", &[(at(0, 1), "a", 15), (at(0, 2), "b", 50), (at(1, 0), "a", 20)]);
        project.run();
        assert_eq!(
            project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].len(),
            2,
            "{point}"
        );
        let aside = project.path("quarantine/tiny/dt=2026-01-01/hr=00/events.parquet");
        assert!(!aside.exists() || rows_of(&aside).is_empty(), "{point}");
        project.assert_sound();
    }
}

#[test]
fn a_row_that_must_not_be_there_refuses_its_window_and_no_other() {
    let project = Project::new(&ROWS.replace("\"drop\"", "\"fail\""));
    let rows = [(at(0, 1), "a", 50), (at(1, 1), "c", 50), (at(2, 1), "a", 50), (at(3, 0), "a", 50)];
    project.feed("x.parquet", &rows);
    let (exit, told) = project.json(&["run"]);
    let failure = &told["pipelines"][0]["failures"][0];
    assert_eq!(
        (exit, &failure["code"], &failure["start"]),
        (4, &json!("HW4004"), &json!("2026-01-01T01:00:00Z"))
    );
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("row 1 of in/x.parquet breaks rule `not c`"), "{message}");
    assert_eq!(told["pipelines"][0]["watermark"], "2026-01-01T01:00:00Z");
    assert_eq!(project.outputs().len(), 2);
    project.feed("x.parquet", &[rows[0], (at(1, 1), "b", 50), rows[2], rows[3]]);
    project.run();
    assert_eq!(project.outputs().len(), 3);
}

#[test]
fn of_duplicates_one_is_used_whatever_the_order_of_files() {
    let late = |dedup: &str| {
        let project = Project::new(&with_dedup(dedup));
        project.feed("b.parquet", &[(at(0, 1), "a", 50), (at(0, 2), "a", 70), (at(0, 3), "b", 20)]);
        project.feed("a.parquet", &[(at(0, 5), "a", 70), (at(0, 9), "a", 5), (at(1, 0), "x", 20)]);
        project.run();
        let used = project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].clone();
        assert_eq!(committed(&project, 0)["rows"]["duplicate"], 2);
        used.into_iter().find(|row| row.contains("key=a")).unwrap()
    };
    let row = |minute, value| format!("at={} key=a value={value}", at(0, minute));
    assert_eq!(late("order_by = [\"value\"]"), row(2, 70));
    assert_eq!(late("order_by = [\"value\"], keep = \"first\""), row(1, 50));
    assert_eq!(late("keep = \"first\""), row(5, 70));
    assert_eq!(late("keep = \"last\""), row(2, 70));
}

#[test]
fn a_late_original_makes_the_windows_due_in_which_its_duplicates_lie() {
    let project = Project::new(&with_dedup("keep = \"first\", across = \"2h\""));
    let rows: Vec<Row> = (2..7).map(|hour| (at(hour, 30), "a", 50)).collect();
    project.feed("x.parquet", &[rows, vec![(at(8, 0), "z", 50)]].concat());
    project.run();
    let used = |hour: i64| {
        let path = format!("out/rows/dt=2026-01-01/hour={hour:02}/data.parquet");
        project.outputs()[&path].len()
    };
    // Each is within two hours of one before it, used or not.
    assert_eq!([2, 3, 4, 5, 6].map(used), [1, 0, 0, 0, 0]);
    let before = project.entries("tiny").len();
    project.feed("late.parquet", &[(at(1, 0), "a", 60)]);
    project.run();
    assert_eq!([1, 2, 3, 4, 5, 6].map(used), [1, 0, 0, 0, 0, 0]);
    let due = crate::equal::recomputed(&project, before);
    let hours = [1, 2, 3].map(|hour| format!("2026-01-01T{hour:02}:00:00Z"));
    assert_eq!(due.into_iter().collect::<Vec<_>>(), hours);
    project.assert_sound();
}

#[test]
fn rules_that_cannot_be_asked_are_told_where_they_stand() {
    for (expect, said) in [
        ("valeu >= 10", "valeu"),
        ("value", "is no condition: it gives Int64"),
        ("random() < 0.5", "random()"),
        ("event_time < now()", "now()"),
        ("sum(value) > 3", "an aggregate"),
        ("value IN (SELECT 1)", "a query"),
        ("value > $window_start", "a parameter"),
        ("value >= ", "rule `small`"),
    ] {
        let project = Project::new(&ROWS.replace("value >= 10", expect));
        project.feed("x.parquet", &[(at(0, 1), "a", 5), (at(1, 0), "a", 20)]);
        let ended = project.command(&["run"]).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(code(&ended), 2, "{expect}: {told}");
        assert!(told.contains(said) && told.contains("config.toml"), "{expect}: {told}");
        assert!(project.outputs().is_empty());
    }
    let failing = Project::new(&ROWS.replace("value >= 10", "100 / (value - 5) > 0"));
    failing.feed("x.parquet", &[(at(0, 1), "a", 5), (at(1, 1), "a", 20), (at(2, 0), "a", 20)]);
    let (exit, told) = failing.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["failures"][0]["code"]), (3, &json!("HW2010")));
    assert!(told.to_string().contains("rule `small` failed over row 0 of in/x.parquet"), "{told}");
    let unknown = Project::new(&with_dedup("order_by = [\"when\"]"));
    unknown.feed("x.parquet", &[(at(0, 1), "a", 5), (at(1, 0), "a", 20)]);
    let ended = unknown.command(&["run"]).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("no column `when`"), "{ended:?}");
}

#[test]
fn a_changed_rule_is_a_changed_query() {
    let config = ROWS.replace(
        "[pipeline.tiny.window]",
        "[pipeline.tiny]\non_query_change = \"reprocess\"\n[pipeline.tiny.window]",
    );
    let mut project = Project::new(&config);
    project.feed("x.parquet", &[(at(0, 1), "a", 15), (at(0, 2), "b", 50), (at(1, 0), "a", 20)]);
    project.run();
    assert_eq!(project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].len(), 2);
    let entries = project.entries("tiny").len();
    project.configure(&config.replace("value >= 10", "value  >=  10 /* the same */"));
    project.run();
    assert_eq!(project.entries("tiny").len(), entries);
    project.configure(&config.replace("value >= 10", "value >= 20"));
    project.run();
    assert_eq!(project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].len(), 1);
    assert_eq!(quarantined(&project, 0).len(), 1);
    // Without any rule what was aside is used, and the object stays without rows.
    let rules = config.find("[[pipeline.tiny.source.events.rule]]").unwrap();
    let steps = config.find("[[pipeline.tiny.step]]").unwrap();
    project.configure(&format!("{}{}", &config[..rules], &config[steps..]));
    project.run();
    assert_eq!(project.outputs()["out/rows/dt=2026-01-01/hour=00/data.parquet"].len(), 2);
    assert_eq!(quarantined(&project, 0), [""; 0]);
    project.assert_sound();
}

#[test]
fn columns_that_quarantine_adds_may_not_be_there() {
    let project = Project::new(ROWS);
    let times = TimestampMicrosecondArray::from(vec![at(0, 1), at(1, 0)]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let columns: [(&str, ArrayRef); 4] = [
        ("event_time", Arc::new(times)),
        ("key", texts.clone()),
        ("value", Arc::new(Int64Array::from(vec![5, 20]))),
        ("_Rule", texts),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(project.path("in/x.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let ended = project.command(&["run"]).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(code(&ended), 2, "{told}");
    assert!(told.contains("has a column `_Rule`, which quarantine adds"), "{told}");
}

#[test]
fn rows_of_a_chain_are_put_aside_with_the_window_they_are_of() {
    let chain = format!(
        "{ROWS}\n[pipeline.daily.window]\nsize = \"1d\"\n[pipeline.daily.source.hours]\n\
         pipeline = \"tiny\"\n\
         rule = [{{ name = \"no a\", expect = \"key <> 'a'\" }}]\n\
         [[pipeline.daily.step]]\nname = \"keys\"\nsql = \"SELECT key FROM hours\"\n\
         [pipeline.daily.output.keys]\npath = \"out/keys/dt={{start:%Y-%m-%d}}\"\n"
    );
    let project = Project::new(&chain);
    project.feed("x.parquet", &[(at(5, 1), "a", 50), (at(5, 2), "b", 50), (at(25, 0), "a", 20)]);
    project.run();
    assert_eq!(project.outputs()["out/keys/dt=2026-01-01/data.parquet"], ["key=b"]);
    let aside = rows_of(&project.path("quarantine/daily/dt=2026-01-01/hr=00/hours.parquet"));
    assert_eq!(aside.len(), 1);
    assert!(aside[0].contains("key=a value=50 _rule=no a"), "{aside:?}");
    assert!(aside[0].ends_with("_window_start=2026-01-01T00:00:00Z"), "{aside:?}");
    project.assert_sound();
}

/// What happens to the input, run by run; then one run over the same in one go.
fn check(seed: u64) {
    let mut dice = Dice(seed);
    let variant = Variant::random(&mut dice);
    let project = Project::new(&variant.configure(ROWS));
    let mut model = Model::new(variant.clone());
    for run in 0..4 {
        for _ in 0..dice.roll(4) {
            let name = format!("{}.parquet", dice.pick(&["a", "b", "c", "x/d"]));
            let rows = model::random_rows(&mut dice);
            project.feed(&name, &rows);
            model.fed.insert(name, rows);
        }
        let reports = block_on(run_all(&project.open(), &Asked::Run));
        reports.iter().for_each(assert_good);
        model.compare(&project, reports[0].watermark, &format!("seed {seed}, run {run}"));
    }
    project.assert_sound();
    let once = Project::new(&variant.configure(ROWS));
    for (name, rows) in &model.fed {
        once.feed(name, rows);
    }
    let reports = block_on(run_all(&once.open(), &Asked::Run));
    model.compare(&once, reports[0].watermark, &format!("seed {seed}, at once"));
}

#[test]
fn every_row_is_where_its_model_says_and_nowhere_else() {
    let seeds: Vec<u64> = (0..HISTORIES).collect();
    each(2, &seeds, |seed| format!("the feed of seed {seed}"), |seed| check(*seed));
}
