//! `explain` and `lateness` from outside: what they say is what was done to the project.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{DAY_0, Dice, HOUR, Project, Row, TINY, code, files_below};

/// The document of a command that goes well.
#[track_caller]
fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, document) = project.json(args);
    assert_eq!(code, 0, "{document}");
    assert_eq!((&document["schema"], &document["errors"]), (&json!(1), &json!([])));
    document
}

/// What is said to people.
#[track_caller]
fn told(project: &Project, args: &[&str]) -> String {
    let ended = project.command(args).output().unwrap();
    assert_eq!(code(&ended), 0, "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
    let text = String::from_utf8(ended.stdout).unwrap();
    for line in text.lines() {
        assert!(line.trim_end() == line && line.chars().count() <= 100, "{line}");
    }
    text
}

/// A row an hour in these hours.
fn rows(hours: &[i64]) -> Vec<Row> {
    hours.iter().map(|hour| (DAY_0 + hour * HOUR, "a", 10 * hour)).collect()
}

/// Two closed windows, a gap, a third, and an open one, after a run.
fn done() -> Project {
    let project = Project::new(TINY);
    project.feed("one.parquet", &rows(&[0, 1, 5, 6]));
    ok(&project, &["run"]);
    project
}

#[test]
fn a_late_file_makes_its_window_due_until_it_is_committed() {
    let project = done();
    let explain = |at: &str| ok(&project, &["explain", "tiny", at]);
    let first = explain("2026-01-01T01:30:00Z");
    assert_eq!(first["window"]["start"], "2026-01-01T01:00:00Z");
    assert_eq!(first["window"]["end"], "2026-01-01T02:00:00Z");
    assert_eq!(first["window"]["label"], "2026-01-01 01:00 – 02:00");
    assert_eq!((&first["state"], &first["due"]), (&json!("committed"), &json!(false)));
    assert_eq!(first["why_not"], "it is committed from exactly these inputs");
    assert_eq!(first["revisions"].as_array().unwrap().len(), 1);

    project.feed("late.parquet", &rows(&[1, 1]));
    project.feed("other.parquet", &rows(&[7]));
    let late = explain("2026-01-01 01");
    assert_eq!((&late["state"], &late["due"]), (&json!("stale"), &json!(true)));
    assert_eq!((&late["reason"], &late["late_rows"]), (&json!("late_data"), &json!(2)));
    assert_eq!(late["why_not"], Value::Null);
    let inputs = late["inputs"].as_array().unwrap();
    let inputs: Vec<_> = inputs
        .iter()
        .map(|input| (&input["name"], &input["rows"], &input["after_commit"], &input["generation"]))
        .collect();
    let (one, new) = (json!("in/one.parquet"), json!("in/late.parquet"));
    let expected = [
        (&new, &json!(2), &json!(true), &Value::Null),
        (&one, &json!(1), &json!(false), &json!(1)),
    ];
    assert_eq!(inputs, expected);
    assert_eq!(late["totals"], json!({"files": 2, "rows": 3, "margin": 0}));
    assert_eq!(late["ruled_out"], 1, "what is in other windows is not read");
    let text = told(&project, &["explain", "tiny", "2026-01-01T01"]);
    for part in [
        "late_data: 2 late rows, 1 new file",
        "next run  after the commit",
        "2 files, 3 rows; 1 other file was ruled out by its counts: not read",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let run = ok(&project, &["run"]);
    let after = explain("2026-01-01T01:00:00Z");
    assert_eq!(after["state"], "committed");
    let revisions: Vec<_> = after["revisions"].as_array().unwrap().iter().collect();
    let seen: Vec<_> = revisions
        .iter()
        .map(|event| (&event["kind"], &event["revision"], &event["reason"], &event["rows"]["in"]))
        .collect();
    let (committed, new) = (json!("committed"), json!("new"));
    let expected = [
        (&committed, &json!(1), &new, &json!(1)),
        (&committed, &json!(2), &json!("late_data"), &json!(3)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(revisions[1]["run_id"], run["run_id"]);
    let path = "out/totals/dt=2026-01-01/hour=01/data.parquet";
    let output = after["outputs"].as_array().unwrap().iter().find(|one| one["path"] == path);
    let len = fs::metadata(project.path(path)).unwrap().len();
    assert_eq!(output.unwrap()["bytes"], len);
    assert!(after["inputs"].as_array().unwrap().iter().all(|one| one["after_commit"] == false));
}

#[test]
fn an_open_window_says_which_source_holds_it() {
    let second = "[pipeline.tiny.source.slow]\npath = \"slow\"\nevent_time = \"event_time\"\n\
                  lookahead = \"1h\"\n\n[[pipeline.tiny.step]]\nname = \"totals\"";
    let config = TINY.replacen("[[pipeline.tiny.step]]\nname = \"totals\"", second, 1);
    let project = Project::new(&config);
    fs::create_dir(project.path("slow")).unwrap();
    project.feed("one.parquet", &rows(&[0, 1, 5, 6]));
    project.feed("../slow/one.parquet", &[(DAY_0 + HOUR / 2 + HOUR, "a", 1)]);
    let open = ok(&project, &["explain", "tiny", "2026-01-01T01"]);
    assert_eq!((&open["state"], &open["due"]), (&json!("open"), &json!(false)));
    assert_eq!(
        open["why_not"],
        "not closed: source `slow` has come to 2026-01-01 01:30 +00:00 (its watermark), the \
         window needs 2026-01-01 03:00 +00:00, 1h of lookahead included"
    );
    let sources: Vec<_> = open["sources"].as_array().unwrap().iter().collect();
    assert_eq!((&sources[0]["table"], &sources[0]["reached"]), (&json!("events"), &json!(true)));
    assert_eq!((&sources[1]["table"], &sources[1]["reached"]), (&json!("slow"), &json!(false)));
    assert_eq!(sources[1]["watermark"], "2026-01-01T01:30:00Z");
    assert_eq!(sources[1]["needs"], "2026-01-01T03:00:00Z");
    assert_eq!(
        open["notes"][0].as_str().unwrap().split(':').next(),
        Some("the pipeline never ran")
    );
    assert!(told(&project, &["explain", "tiny", "2026-01-01T01"]).contains("never ran"));
}

#[test]
fn what_became_of_a_window_that_fails_is_told() {
    let sql = "SELECT key, sum(CAST(key AS BIGINT)) AS total FROM events GROUP BY key";
    let old = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key";
    let project = Project::new(&TINY.replace(old, sql));
    let rows: Vec<Row> =
        (0..).zip(["1", "x", "3", "4"]).map(|(hour, key)| (DAY_0 + hour * HOUR, key, 1)).collect();
    project.feed("one.parquet", &rows);
    assert_eq!(project.json(&["run"]).0, 3);
    let failed = ok(&project, &["explain", "tiny", "2026-01-01T01"]);
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("failed_before")));
    assert_eq!(failed["error"]["code"], "HW2010");
    assert_eq!(failed["revisions"][0]["kind"], "failed");
    assert_eq!(failed["revisions"][0]["error"]["code"], "HW2010");

    // It holds the watermark, while a later one is committed.
    let status = &ok(&project, &["status"])["pipelines"][0];
    let gap = json!({"start": "2026-01-01T01:00:00Z", "end": "2026-01-01T02:00:00Z"});
    assert_eq!((&status["gaps"], &status["gaps_total"]), (&json!([gap]), &json!(1)));
    let text = String::from_utf8(project.command(&["status"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("1 gap before committed windows: 2026-01-01 01:00 – 02:00"), "{text}");

    let skip =
        ["skip", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--reason", "so what"];
    ok(&project, &skip);
    let skipped = ok(&project, &["explain", "tiny", "2026-01-01T01"]);
    assert_eq!(skipped["state"], "skipped");
    assert_eq!(skipped["why_not"], "it is committed as skipped: so what");
    assert_eq!(skipped["revisions"][1]["why"], "so what");
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&status["gaps"], &status["gaps_total"]), (&json!([]), &json!(0)));
}

#[test]
fn what_is_no_window_is_a_mistake_of_usage() {
    let project = done();
    for at in ["yesterday", "2026-13-01", "", "9999-12-01", "0000-01-01", "2026-01-01T25"] {
        let (code, refused) = project.json(&["explain", "tiny", at]);
        assert_eq!((code, &refused["exit_code"]), (2, &json!(2)), "{at}: {refused}");
        assert_eq!(refused["errors"][0]["code"], "HW0001");
        let hint = refused["errors"][0]["hint"].as_str().unwrap();
        assert!(hint.contains("2026-10-31T05:00:00Z"), "{hint}");
    }
    assert_eq!(project.json(&["explain", "nope", "2026-01-01"]).0, 2);
    assert_eq!(project.json(&["lateness", "nope"]).0, 2);
    assert_eq!(project.json(&["explain", "tiny"]).0, 2);
}

#[test]
fn looking_leaves_no_trace() {
    let project = done();
    project.feed("late.parquet", &rows(&[1, 9]));
    let before = files_below(project.path(""));
    for format in ["text", "json", "jsonl"] {
        for args in [&["explain", "tiny", "2026-01-01T01"][..], &["lateness", "tiny"]] {
            let ended = project.command(args).args(["--format", format]).output().unwrap();
            assert_eq!(code(&ended), 0);
        }
    }
    assert_eq!(files_below(project.path("")), before);
    // What was not admitted is not in the ledger.
    assert_eq!(ok(&project, &["lateness", "tiny"])["sources"][0]["files"], 1);
}

#[test]
fn before_the_first_run_nothing_is_known_of_lateness() {
    let project = Project::new(TINY);
    let empty = ok(&project, &["lateness", "tiny"]);
    let source = &empty["sources"][0];
    assert_eq!((&source["table"], &source["files"]), (&json!("events"), &json!(0)));
    assert_eq!(source["delay"]["max_seconds"], Value::Null);
    assert_eq!(source["delay"]["classes"], json!([]));
    let text = told(&project, &["lateness", "tiny"]);
    assert!(text.contains("events    no file was admitted yet"), "{text}");
}

#[test]
fn sources_that_read_a_pipeline_are_named_and_skipped() {
    let second = "\n[pipeline.days.window]\nsize = \"1d\"\n\n[pipeline.days.source.hours]\n\
                  pipeline = \"tiny\"\noutput = \"totals\"\n\n[[pipeline.days.step]]\n\
                  name = \"sums\"\nsql = \"SELECT key, sum(total) AS total FROM hours \
                  GROUP BY key\"\n\
                  \n[pipeline.days.output.sums]\npath = \"out/days/dt={start:%Y-%m-%d}\"\n";
    let project = Project::new(&format!("{TINY}{second}"));
    let found = ok(&project, &["lateness", "days"]);
    assert_eq!(found["sources"], json!([]));
    assert_eq!(found["skipped"], json!([{"table": "hours", "upstream": "tiny"}]));
    assert!(told(&project, &["lateness", "days"]).contains("hours    reads pipeline tiny"));
}

/// A file of the feed: its rows by event time, when it arrived, and where the watermark stood.
struct Arrival {
    events: Vec<i64>,
    at: i64,
    watermark: Option<i64>,
}

/// Feeds files at random and runs after each, as far as the dice say.
fn feed(project: &Project, dice: &mut Dice) -> Vec<Arrival> {
    let pick = |dice: &mut Dice, below: u64| i64::try_from(dice.roll(below)).unwrap();
    let mut arrivals: Vec<Arrival> = Vec::new();
    let (mut watermark, mut newest) = (None, DAY_0);
    for file in 0..8 {
        let at = DAY_0 + (10 + 6 * file) * HOUR + pick(dice, 3_600) * 1_000_000;
        let mut event = |_| {
            let longest = if dice.roll(4) == 0 { 60 * 3_600 } else { 7_200 };
            at - pick(dice, longest) * 1_000_000
        };
        let count = 15;
        let events: Vec<i64> = (0..count).map(&mut event).collect();
        let name = format!("{file}.parquet");
        project.feed(&name, &events.iter().map(|at| (*at, "a", 1)).collect::<Vec<_>>());
        let modified = UNIX_EPOCH + Duration::from_micros(at.try_into().unwrap());
        let written = File::options().write(true).open(project.path("in").join(name)).unwrap();
        written.set_times(FileTimes::new().set_modified(modified)).unwrap();
        newest = newest.max(*events.iter().max().unwrap());
        arrivals.push(Arrival { events, at, watermark });
        if dice.roll(3) > 0 {
            project.run();
            watermark = Some(newest - newest.rem_euclid(HOUR));
        }
    }
    project.run();
    arrivals
}

/// Rows and windows of what is missed, counted one by one: by the start of a window, and the
/// watermark when its row came.
fn count(arrivals: &[Arrival], is_missed: impl Fn(i64, i64) -> bool) -> (u64, usize) {
    let (mut rows, mut windows) = (0, BTreeSet::new());
    for Arrival { events, watermark, .. } in arrivals {
        let Some(watermark) = watermark else { continue };
        for start in events.iter().map(|at| at - at.rem_euclid(HOUR)) {
            if is_missed(start, *watermark) {
                rows += 1;
                windows.insert(start);
            }
        }
    }
    (rows, windows.len())
}

/// Compares the delays that are told with those of the rows.
fn assert_delays(told: &Value, arrivals: &[Arrival]) {
    let delays = |arrival: &Arrival| -> Vec<i64> {
        arrival.events.iter().map(|event| arrival.at - event).collect()
    };
    let delays: Vec<i64> = arrivals.iter().flat_map(delays).collect();
    assert_eq!(told["max_seconds"], delays.iter().max().unwrap() / 1_000_000);
    let below = |seconds: i64| delays.iter().filter(|delay| **delay < seconds * 1_000_000).count();
    let mut rows = 0;
    for class in told["classes"].as_array().unwrap() {
        rows += class["rows"].as_u64().unwrap();
        assert_eq!(json!(below(class["up_to_seconds"].as_i64().unwrap())), json!(rows), "{class}");
    }
    // What is told of a share is true to within a fifth.
    for (name, percent) in [("p50_seconds", 50), ("p90_seconds", 90), ("p99_seconds", 99)] {
        let seconds = told[name].as_i64().unwrap();
        let is_share = |seconds: i64| 100 * below(seconds) >= percent * delays.len();
        assert!(is_share(seconds * 5 / 4 + 1), "{name}: {told}");
        assert!(!is_share(seconds * 4 / 5 - 1), "{name}: {told}");
    }
}

/// Compares what is told to be missed with what is missed of the rows.
fn assert_missed(source: &Value, arrivals: &[Arrival]) {
    let late = count(arrivals, |start, watermark| start + HOUR <= watermark);
    assert!(late.0 > 0, "nothing came late");
    assert_eq!(source["late"], json!({"rows": late.0, "windows": late.1}));
    let missed = |step: &Value, (rows, windows): (u64, usize)| {
        let told = (&step["rows_missed"], &step["windows_missed"]);
        assert_eq!(told, (&json!(rows), &json!(windows)), "{step}");
    };
    for step in source["allowed_lateness"].as_array().unwrap() {
        let allowed = step["seconds"].as_i64().unwrap() * 1_000_000;
        missed(step, count(arrivals, |start, at| start + HOUR + allowed <= at));
        assert_eq!(step["configured"], allowed == 400 * HOUR);
    }
    for step in source["lookback"].as_array().unwrap() {
        let back = step["windows"].as_i64().unwrap() * HOUR;
        missed(step, count(arrivals, |start, at| start < at - back));
    }
}

#[test]
fn lateness_is_what_the_rows_say() {
    for seed in 1..=4 {
        let config = TINY.replace("path = \"in\"", "path = \"in\"\nallowed_lateness = \"400h\"");
        let project = Project::new(&config);
        let arrivals = feed(&project, &mut Dice(seed));
        let found = ok(&project, &["lateness", "tiny"]);
        let source = &found["sources"][0];
        assert_eq!((&source["files"], &source["rows"]), (&json!(8), &json!(8 * 15)));
        assert_eq!(source["allowed_lateness"].as_array().unwrap().len(), 9);
        assert_eq!(source["lookback"].as_array().unwrap().len(), 5);
        assert_delays(&source["delay"], &arrivals);
        assert_missed(source, &arrivals);
        let text = told(&project, &["lateness", "tiny"]);
        assert!(text.contains("would have missed nothing so far"), "{text}");
        assert!(text.contains("16d 16h (configured)"), "{text}");
    }
}
