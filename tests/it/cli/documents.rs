//! The documents: what DESIGN §9 publishes is there.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{ROWS, done, fed, fields, ok, stuck};
use crate::support::{DAY_0, HOUR, Project, TINY, code, document};

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
            "failed": 0, "outdated": 0
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
        assert_eq!(String::from_utf8(ended.stdout).unwrap().lines().count(), 1);
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
