//! The command line from outside: documents, exit codes, and that looking leaves no trace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, code, document, files_below};

/// Three closed windows, a gap, a fourth, and an open one.
fn fed() -> Project {
    let project = Project::new(TINY);
    let hours = [0, 1, 2, 5, 6];
    let rows: Vec<_> = hours.iter().map(|hour| (DAY_0 + hour * HOUR, "a", 10 * hour)).collect();
    project.feed("one.parquet", &rows);
    project
}

/// The same after a run.
fn done() -> Project {
    let project = fed();
    assert_eq!(project.json(&["run"]).0, 0);
    project
}

/// The document of a command that goes well.
#[track_caller]
fn ok(project: &Project, args: &[&str]) -> Value {
    let (code, document) = project.json(args);
    assert_eq!(code, 0, "{document}");
    document
}

/// Has `value` these fields? More are allowed: documents only ever grow.
#[track_caller]
fn fields(value: &Value, names: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for name in names.split_whitespace() {
        assert!(object.contains_key(name), "{name} is not in {value}");
    }
}

const ROWS: &str =
    "in used out quarantined dropped duplicate late expired null_time future before_begin";

#[test]
fn plan_says_what_is_published() {
    let plan = ok(&fed(), &["plan"]);
    fields(&plan, "schema project pipelines errors");
    let pipeline = &plan["pipelines"][0];
    fields(pipeline, "pipeline watermark windows open expired_rows");
    let window = &pipeline["windows"][0];
    fields(window, "start end local reason files rows bytes outputs");
    assert_eq!(plan["schema"], 1);
    assert_eq!(plan["project"], "tiny");
    assert_eq!(pipeline["watermark"], Value::Null);
    assert_eq!(pipeline["windows"].as_array().unwrap().len(), 4);
    assert_eq!(window["start"], "2026-01-01T00:00:00Z");
    assert_eq!(window["end"], "2026-01-01T01:00:00Z");
    assert_eq!(window["local"], "2026-01-01T00:00:00+00:00[UTC]");
    assert_eq!(window["reason"], "new");
    assert_eq!((&window["files"], &window["rows"]), (&1.into(), &1.into()));
    assert_eq!(window["outputs"][0], "out/totals/dt=2026-01-01/hour=00/data.parquet");
    assert_eq!(window["outputs"].as_array().unwrap().len(), 2);
    fields(&pipeline["open"][0], "start end");
    assert_eq!(pipeline["open"][0]["start"], "2026-01-01T06:00:00Z");
}

#[test]
fn local_times_carry_offset_and_zone() {
    let zone = "size = \"1h\"\ntimezone = \"Asia/Kolkata\"";
    let config = TINY
        .replace("size = \"1h\"", zone)
        .replace("{start:%H}", "{start_utc:%H%M%S}")
        .replace("{start:", "{start_utc:");
    let project = Project::new(&config);
    project.feed("one.parquet", &[(DAY_0, "a", 1), (DAY_0 + 9 * HOUR, "a", 1)]);
    let window = &ok(&project, &["plan"])["pipelines"][0]["windows"][0];
    assert_eq!(window["start"], "2025-12-31T23:30:00Z");
    assert_eq!(window["local"], "2026-01-01T05:00:00+05:30[Asia/Kolkata]");
    let people = project.command(&["plan"]).output().unwrap();
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(people.contains("2026-01-01 05:00 – 06:00"), "{people}");
    // A date of the command line is read there too.
    let args =
        ["backfill", "tiny", "--from", "2026-01-01T05", "--to", "2026-01-01T06", "--dry-run"];
    assert_eq!(ok(&project, &args)["pipelines"][0]["windows"][0]["start"], window["start"]);
}

#[test]
fn run_says_what_is_published() {
    let project = fed();
    let run = ok(&project, &["run"]);
    fields(&run, "schema run_id exit_code pipelines errors");
    let pipeline = &run["pipelines"][0];
    fields(
        pipeline,
        "pipeline watermark windows_done windows_failed windows_unchanged rows bytes_read \
         duration_ms failures",
    );
    fields(&pipeline["rows"], ROWS);
    assert_eq!(run["exit_code"], 0);
    assert_eq!(pipeline["watermark"], "2026-01-01T06:00:00Z");
    assert_eq!((&pipeline["windows_done"], &pipeline["windows_failed"]), (&4.into(), &0.into()));
    assert_eq!((&pipeline["rows"]["in"], &pipeline["rows"]["used"]), (&4.into(), &4.into()));

    let again = ok(&project, &["run"]);
    assert_eq!(again["pipelines"][0]["windows_done"], 0);
    assert_ne!(again["run_id"], run["run_id"]);
}

#[test]
fn status_says_what_is_published() {
    let project = fed();
    let before = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&before["state"], &before["windows"]["pending"]), (&"new".into(), &4.into()));
    assert_eq!(before["last_run"], Value::Null);

    ok(&project, &["run"]);
    let status = ok(&project, &["status"]);
    fields(&status, "schema project pipelines errors");
    let pipeline = &status["pipelines"][0];
    fields(pipeline, "pipeline state watermark lag_seconds windows rows last_run");
    fields(&pipeline["rows"], ROWS);
    fields(&pipeline["last_run"], "run_id at");
    assert_eq!(pipeline["state"], "ok");
    assert!(pipeline["lag_seconds"].as_i64().unwrap() > 0);
    assert_eq!(
        pipeline["windows"],
        serde_json::json!({
            "committed": 4, "empty": 2, "skipped": 0, "open": 1, "pending": 0, "stale": 0,
            "failed": 0
        })
    );

    project.feed("late.parquet", &[(DAY_0 + HOUR, "b", 1), (DAY_0 + 3 * HOUR, "b", 1)]);
    let pipeline = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&pipeline["state"], &pipeline["windows"]["stale"]), (&"pending".into(), &2.into()));
    assert_eq!(project.json(&["status", "--exit-code"]).0, 0);
}

#[test]
fn history_says_what_is_published() {
    let project = done();
    project.feed("late.parquet", &[(DAY_0 + HOUR, "b", 1)]);
    ok(&project, &["run"]);
    let args = ["reprocess", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T02", "--yes"];
    ok(&project, &args);
    let history = ok(&project, &["history", "tiny"]);
    fields(&history, "schema pipeline commits errors");
    let commits = history["commits"].as_array().unwrap();
    fields(&commits[0], "seq at run_id windows");
    let window = &commits[0]["windows"][0];
    fields(window, "start end revision reason rows outputs");
    fields(&window["rows"], ROWS);
    fields(&window["outputs"][0], "path rows bytes sha256");

    let seqs: Vec<_> = commits.iter().map(|commit| commit["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {seqs:?}");
    let of_hour_1 = commits.iter().flat_map(|commit| commit["windows"].as_array().unwrap());
    let of_hour_1 = of_hour_1.filter(|window| window["start"] == "2026-01-01T01:00:00Z");
    let told: Vec<_> = of_hour_1
        .map(|window| (window["revision"].as_u64().unwrap(), window["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(3, "requested"), (2, "late_data"), (1, "new")]);
    assert_eq!(commits[1]["windows"][0]["rows"]["late"], 1);

    let path = window["outputs"][0]["path"].as_str().unwrap();
    let len = fs::metadata(project.path(path)).unwrap().len();
    assert_eq!(window["outputs"][0]["bytes"], len);

    let one = ok(&project, &["history", "tiny", "--limit", "1"]);
    assert_eq!(one["commits"].as_array().unwrap().len(), 1);
}

#[test]
fn verify_finds_what_was_done_to_outputs() {
    let project = done();
    let good = ok(&project, &["verify"]);
    fields(&good, "schema ok checked problems errors");
    fields(&good["checked"], "windows objects entries");
    assert_eq!((&good["ok"], &good["checked"]["objects"]), (&true.into(), &8.into()));
    let entries = project.entries("tiny").len();
    assert_eq!(good["checked"]["entries"], entries);

    let object =
        |hour: &str| project.path(&format!("out/totals/dt=2026-01-01/hour={hour}/data.parquet"));
    fs::remove_file(object("00")).unwrap();
    fs::copy(object("02"), object("01").with_file_name("stray.parquet")).unwrap();
    let mut bytes = fs::read(object("02")).unwrap();
    bytes[10] ^= 1;
    fs::write(object("02"), &bytes).unwrap();
    bytes.push(0);
    fs::write(object("05"), &bytes).unwrap();
    let (code, bad) = project.json(&["verify"]);
    assert_eq!((code, &bad["ok"]), (1, &false.into()));
    let problems = bad["problems"].as_array().unwrap();
    fields(&problems[0], "pipeline start end kind path message");
    let kinds: BTreeSet<_> = problems.iter().map(|found| found["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["missing", "sha256", "size", "unknown"]));
    let text = project.command(&["verify"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains("highwater reprocess"));

    let args = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"];
    ok(&project, &args);
    fs::remove_file(object("01").with_file_name("stray.parquet")).unwrap();
    ok(&project, &["verify"]);
}

#[test]
fn check_and_requests_say_what_is_published() {
    let project = fed();
    let check = ok(&project, &["check"]);
    fields(&check, "schema ok pipelines errors");
    assert_eq!((&check["ok"], &check["pipelines"][0]), (&true.into(), &"tiny".into()));
    let requests = ok(&project, &["requests"]);
    fields(&requests, "schema requests errors");
    assert_eq!(requests["requests"], serde_json::json!([]));
}

#[test]
fn plan_says_why() {
    let project = done();
    let reasons = |args: &[&str]| -> BTreeMap<String, (String, u64)> {
        let plan = ok(&project, args);
        let windows = plan["pipelines"][0]["windows"].as_array().unwrap().clone();
        let told = windows.iter().map(|window| {
            let text = |name: &str| window[name].as_str().unwrap().to_owned();
            let hour = text("start")[11..13].to_owned();
            (hour, (text("reason"), window["late_rows"].as_u64().unwrap()))
        });
        told.collect()
    };
    let told = |hour: &str, why: &str, late: u64| (hour.to_owned(), (why.to_owned(), late));
    assert!(reasons(&["plan"]).is_empty());

    let late = [(DAY_0 + HOUR, "b", 1), (DAY_0 + HOUR, "c", 1), (DAY_0 + 7 * HOUR, "b", 1)];
    project.feed("late.parquet", &late);
    let expected = [told("01", "late_data", 2), told("06", "new", 0)];
    assert_eq!(reasons(&["plan"]), expected.into());
    ok(&project, &["run"]);

    project.feed("late.parquet", &[(DAY_0 + HOUR, "b", 7), (DAY_0 + 7 * HOUR, "b", 1)]);
    let found = reasons(&["plan"]);
    assert_eq!(found["01"].0, "input_changed");
    assert_eq!(found.len(), 1, "{found:?}");
    ok(&project, &["run"]);

    let args = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-01T02", "--dry-run"];
    let expected = [told("00", "requested", 0), told("01", "requested", 0)];
    assert_eq!(reasons(&args), expected.into());
}

/// A pipeline whose second window fails for ever.
fn stuck() -> Project {
    let sql = "SELECT key, sum(CAST(key AS BIGINT)) AS total FROM events GROUP BY key";
    let old = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key";
    let project = Project::new(&TINY.replace(old, sql));
    let keys = ["1", "x", "3", "4"];
    let rows: Vec<_> = (0..).zip(keys).map(|(hour, key)| (DAY_0 + hour * HOUR, key, 1)).collect();
    project.feed("one.parquet", &rows);
    let (code, run) = project.json(&["run"]);
    assert_eq!(code, 3, "{run}");
    let pipeline = &run["pipelines"][0];
    assert_eq!(pipeline["watermark"], "2026-01-01T01:00:00Z", "a failed window holds it");
    assert_eq!((&pipeline["windows_done"], &pipeline["windows_failed"]), (&2.into(), &1.into()));
    fields(&pipeline["failures"][0], "start end code message");
    assert_eq!(pipeline["failures"][0]["code"], "HW2010");
    project
}

#[test]
fn a_window_that_fails_for_ever_can_be_skipped_and_that_be_undone() {
    let project = stuck();
    let plan = ok(&project, &["plan"]);
    assert_eq!(plan["pipelines"][0]["windows"][0]["reason"], "failed_before");
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&status["state"], &status["windows"]["failed"]), (&"failed".into(), &1.into()));
    assert_eq!(project.json(&["status", "--exit-code"]).0, 1);

    let skip = ["skip", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--reason", "till 4"];
    let foreseen = ok(&project, &[&skip[..], &["--dry-run"]].concat());
    assert_eq!(foreseen["skip"][0]["start"], "2026-01-01T01:00:00Z");
    assert_eq!(foreseen["skip"].as_array().unwrap().len(), 1);
    let skipped = &ok(&project, &skip)["pipelines"][0];
    assert_eq!(skipped["windows_skipped"], 1);
    assert_eq!(skipped["watermark"], "2026-01-01T03:00:00Z", "it jumps over what is done");
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!((&status["state"], &status["windows"]["skipped"]), (&"ok".into(), &1.into()));
    let history = ok(&project, &["history", "tiny"]);
    assert_eq!(history["skips"][0]["why"], "till 4");
    assert_eq!(history["skips"][0]["start"], "2026-01-01T01:00:00Z");
    let text = String::from_utf8(project.command(&["history", "tiny"]).output().unwrap().stdout);
    assert!(text.unwrap().contains("till 4"));
    assert_eq!(ok(&project, &["run"])["pipelines"][0]["windows_done"], 0);

    // Nothing is left to skip.
    assert_eq!(project.json(&skip).0, 2);

    // Mended and computed again, it is a window like any other.
    let keys = ["1", "2", "3", "4"];
    let rows: Vec<_> = (0..).zip(keys).map(|(hour, key)| (DAY_0 + hour * HOUR, key, 1)).collect();
    project.feed("one.parquet", &rows);
    let args = ["reprocess", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T02", "--yes"];
    ok(&project, &args);
    let status = &ok(&project, &["status"])["pipelines"][0];
    assert_eq!(
        (&status["windows"]["skipped"], &status["windows"]["committed"]),
        (&0.into(), &3.into())
    );
    assert!(project.path("out/totals/dt=2026-01-01/hour=01/data.parquet").exists());
    project.assert_sound();
}

#[test]
fn a_request_that_is_not_done_is_listed_and_can_be_withdrawn() {
    let project = done();
    project.feed("two.parquet", &[(DAY_0 + 9 * HOUR, "z", 1)]);
    ok(&project, &["run"]);
    fs::remove_file(project.path("in/one.parquet")).unwrap();
    let args = [
        "reprocess",
        "tiny",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-02",
        "--yes",
        "--reason",
        "why not",
    ];
    assert_eq!(project.json(&args).0, 4);

    let requests = ok(&project, &["requests"]);
    let request = &requests["requests"][0];
    fields(request, "pipeline id verb start end why");
    assert_eq!((&request["verb"], &request["why"]), (&"reprocess".into(), &"why not".into()));
    let id = request["id"].as_str().unwrap();
    let text = project.command(&["requests"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains(id));

    assert_eq!(project.json(&["requests", "--cancel", "r9999"]).0, 2);
    ok(&project, &["requests", "tiny", "--cancel", id, "--dry-run"]);
    assert_eq!(ok(&project, &["requests"])["requests"].as_array().unwrap().len(), 1);
    ok(&project, &["requests", "tiny", "--cancel", id]);
    assert_eq!(ok(&project, &["requests"])["requests"], serde_json::json!([]));
}

/// Every file, with its bytes and its time of change.
fn snapshot(project: &Project) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let read = |name: String| {
        let path = project.path(&name);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        (name, (fs::read(path).unwrap(), modified))
    };
    files_below(project.path("")).into_iter().map(read).collect()
}

#[test]
fn looking_and_dry_runs_leave_no_trace() {
    let range = ["--from", "2026-01-01", "--to", "2026-01-02"];
    let commands: Vec<Vec<&str>> = vec![
        vec!["run", "--dry-run"],
        [&["backfill", "tiny", "-n"], &range[..]].concat(),
        [&["reprocess", "tiny", "-n"], &range[..]].concat(),
        [&["skip", "tiny", "-n", "--reason", "x"], &range[..]].concat(),
        vec!["requests", "tiny", "--cancel", "r1", "-n"],
        vec!["check"],
        vec!["plan"],
        vec!["status"],
        vec!["history", "tiny"],
        vec!["verify"],
        vec!["requests"],
    ];
    let late = done();
    late.feed("late.parquet", &[(DAY_0, "b", 1), (DAY_0 + 9 * HOUR, "b", 1)]);
    for project in [fed(), late, stuck()] {
        let before = snapshot(&project);
        for command in &commands {
            for format in ["text", "json"] {
                let args = [&command[..], &["--format", format]].concat();
                let ended = project.command(&args).output().unwrap();
                assert!([0, 2].contains(&code(&ended)), "{args:?}: {ended:?}");
                assert!(snapshot(&project) == before, "{args:?} left a trace");
            }
        }
    }
}

#[test]
fn an_idle_run_leaves_no_trace() {
    let project = done();
    // Once more: the first run may still settle how young the files were.
    let before = snapshot(&project);
    let ended = project.command(&["run"]).output().unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(told.contains("nothing to do"), "{told}");
    assert!(ended.stderr.is_empty());
    assert!(snapshot(&project) == before);
}

#[test]
fn exit_codes_tell_whether_there_is_work() {
    let project = fed();
    let code = |args: &[&str]| project.json(args).0;
    assert_eq!(code(&["plan"]), 0);
    assert_eq!(code(&["plan", "--exit-code"]), 10);
    assert_eq!(code(&["run", "--skip-exit-code", "99"]), 0);
    assert_eq!(code(&["plan", "--exit-code"]), 0);
    assert_eq!(code(&["run", "--skip-exit-code", "99"]), 99);
    assert_eq!(code(&["run"]), 0);
}

#[test]
fn from_is_inclusive_and_to_exclusive() {
    let begin = "[pipeline.tiny.window]\nbegin = \"2026-01-01T05:00:00Z\"";
    let project = Project::new(&TINY.replace("[pipeline.tiny.window]", begin));
    let rows: Vec<_> = (0..8).map(|hour| (DAY_0 + hour * HOUR, "a", 60)).collect();
    project.feed("one.parquet", &rows);
    let run = ok(&project, &["run"]);
    assert_eq!(run["pipelines"][0]["windows_done"], 2);
    assert_eq!(run["pipelines"][0]["rows"]["before_begin"], 5);
    assert_eq!(ok(&project, &["plan"])["pipelines"][0]["before_begin_rows"], 5);

    let args = ["backfill", "tiny", "--from", "2026-01-01T01", "--to", "2026-01-01T03"];
    let filled = ok(&project, &args);
    assert_eq!(filled["pipelines"][0]["windows_done"], 2);
    fields(&filled["pipelines"][0], "request");
    let hours: Vec<_> = files_below(project.path("out/totals"));
    let hours: Vec<_> = hours.iter().filter_map(|name| name.split("hour=").nth(1)).collect();
    let expected = ["01/data.parquet", "02/data.parquet", "05/data.parquet", "06/data.parquet"];
    assert_eq!(hours, expected);
    // What was computed is not computed again.
    assert_eq!(ok(&project, &args)["pipelines"][0]["windows_done"], 0);
    assert_eq!(ok(&project, &["plan"])["pipelines"][0]["before_begin_rows"], 3);
}

#[test]
fn stdout_is_one_document_and_stderr_what_is_said_beside_it() {
    let project = fed();
    for args in [
        &["check"][..],
        &["plan"],
        &["status"],
        &["run"],
        &["run"],
        &["history", "tiny"],
        &["verify"],
        &["requests"],
    ] {
        let ended = project.command(args).args(["--format", "json", "-v"]).output().unwrap();
        let document = document(&ended);
        fields(&document, "schema errors");
        assert_eq!(ended.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
        let text = project.command(args).output().unwrap();
        for line in String::from_utf8(text.stdout).unwrap().lines() {
            assert_eq!(line.trim_end(), line, "{args:?}");
            assert!(line.chars().count() <= 100, "{args:?}: {line}");
        }
    }
}

#[test]
fn events_are_one_a_line() {
    let project = stuck();
    project.feed("late.parquet", &[(DAY_0, "5", 1)]);
    let ended = project.command(&["run", "--format", "jsonl"]).output().unwrap();
    assert_eq!(code(&ended), 3);
    let text = String::from_utf8(ended.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        fields(event, "schema type ts run_id");
        assert_eq!(event["run_id"], events[0]["run_id"]);
    }
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["run_started", "plan", "window_committed", "window_failed", "run_finished"]);
    fields(&events[2], "pipeline window reason rows_in rows_out rows_late commit");
    fields(&events[2]["window"], "start end");
    assert_eq!((&events[2]["reason"], &events[2]["rows_late"]), (&"late_data".into(), &1.into()));
    fields(&events[3], "pipeline window code message");
    assert_eq!(
        (&events[4]["exit_code"], &events[4]["result"]["exit_code"]),
        (&3.into(), &3.into())
    );
}

#[test]
fn quiet_leaves_results_and_errors() {
    let project = fed();
    let loud = project.copy().command(&["run"]).output().unwrap();
    let said = String::from_utf8(loud.stderr).unwrap();
    assert_eq!(said.lines().count(), 4, "one line a window: {said}");
    assert!(said.lines().all(|line| line.contains(" INFO window committed pipeline=tiny window=")));
    let quiet = project.command(&["run", "-q"]).output().unwrap();
    assert!(quiet.stderr.is_empty());
    assert!(String::from_utf8(quiet.stdout).unwrap().starts_with("✓ tiny    4 windows"));
    let failing = stuck().command(&["run", "-q"]).output().unwrap();
    assert!(String::from_utf8(failing.stderr).unwrap().contains("HW2010"));
}

#[test]
fn colours_are_for_terminals_and_those_who_ask() {
    let project = fed();
    let escapes = |args: &[&str]| {
        let ended = project.command(args).env_remove("NO_COLOR").output().unwrap();
        ended.stderr.contains(&0x1b)
    };
    assert!(!escapes(&["run", "nope"]));
    assert!(escapes(&["run", "nope", "--color", "always"]));
    assert!(!escapes(&["run", "nope", "--color", "never"]));
}

#[test]
fn pipelines_are_picked_by_name_and_pattern() {
    let second = TINY[TINY.find("[pipeline").unwrap()..]
        .replace("pipeline.tiny", "pipeline.other")
        .replace("out/", "out/other/");
    let project = Project::new(&format!("{}{second}", TINY.replace("out/", "out/tiny/")));
    project.feed("one.parquet", &[(DAY_0, "a", 60), (DAY_0 + HOUR, "a", 60)]);
    let picked = |args: &[&str]| -> Vec<String> {
        let plan = ok(&project, args);
        let pipelines = plan["pipelines"].as_array().unwrap();
        pipelines.iter().map(|found| found["pipeline"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(picked(&["plan"]), ["tiny", "other"]);
    assert_eq!(picked(&["plan", "o*"]), ["other"]);
    assert_eq!(picked(&["plan", "other", "*"]), ["tiny", "other"]);
    assert_eq!(picked(&["run", "tiny"]), ["tiny"]);
    assert!(!project.path("_highwater/other").exists());
}
