//! What depends on the time: files that are still being written, sources that fall silent, windows
//! that close by the clock. Runs are told the time, so that no test waits.

use std::fs;
use std::time::UNIX_EPOCH;

use highwater::clock::Clock;
use highwater::report::PipelineReport;
use highwater::run::{Asked, Project as Opened};
use highwater::time::ProcessingTime;
use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, assert_good, block_on, run_all};

const MINUTE: i64 = 60_000_000;

/// TINY with these keys of its source.
fn project(keys: &str) -> Project {
    Project::new(&TINY.replace("event_time =", &format!("{keys}\nevent_time =")))
}

/// Runs at the instant `micros`.
fn run_at(project: &Project, micros: i64) -> PipelineReport {
    let clock = Clock::fixed(ProcessingTime::from_micros(micros));
    let opened = Opened::new(project.spec().clone(), clock).unwrap();
    let mut reports = block_on(run_all(&opened, &Asked::Run));
    assert_good(&reports[0]);
    reports.remove(0)
}

fn watermark(report: &PipelineReport) -> Option<String> {
    report.watermark.map(|at| at.to_string())
}

/// When the input file `name` was written, in microseconds.
fn arrived_at(project: &Project, name: &str) -> i64 {
    let modified = fs::metadata(project.path("in").join(name)).unwrap().modified().unwrap();
    i64::try_from(modified.duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn kinds(project: &Project) -> Vec<Value> {
    project.entries("tiny").iter().map(|entry| entry["kind"].clone()).collect()
}

#[test]
fn a_file_that_is_still_being_written_is_not_there_yet() {
    let project = project("settle = \"1m\"");
    project.feed("a.parquet", &[(DAY_0, "a", 1), (DAY_0 + HOUR, "a", 1)]);
    let written_at = arrived_at(&project, "a.parquet");
    fs::write(project.path("in/half.parquet"), "PAR1 and no more of it yet").unwrap();

    let report = run_at(&project, written_at + MINUTE / 2);
    assert!(report.is_idle() && watermark(&report).is_none(), "{report:?}");
    project.feed("half.parquet", &[(DAY_0, "b", 1)]);
    let report = run_at(&project, written_at + 2 * MINUTE);
    assert_eq!(watermark(&report).as_deref(), Some("2026-01-01T01:00:00Z"));
    assert_eq!(report.rows.input, 2);
}

#[test]
fn a_window_waits_while_a_file_it_needs_is_written_anew() {
    let project = project("settle = \"1m\"");
    project.feed("a.parquet", &[(DAY_0, "a", 1), (DAY_0 + HOUR, "a", 1)]);
    let first = arrived_at(&project, "a.parquet");
    run_at(&project, first + 2 * MINUTE);

    project.feed("a.parquet", &[(DAY_0, "a", 2), (DAY_0 + HOUR, "a", 2)]);
    let again = arrived_at(&project, "a.parquet");
    let late = project.path("in/late.parquet");
    crate::support::write_rows(&late, &[(DAY_0 + 1, "late", 3)]);
    let before = again.min(arrived_at(&project, "late.parquet")) - 2 * MINUTE;
    crate::support::touch(&late, before);
    // The late file is due, the other one is on its way: the window waits, and does not fail.
    let report = run_at(&project, again + MINUTE / 2);
    assert_eq!((report.windows_done, report.failures.len()), (0, 0), "{report:?}");
    let report = run_at(&project, again + 2 * MINUTE);
    assert_eq!(report.windows_done, 1);
    let totals = &project.outputs()["out/totals/dt=2026-01-01/hour=00/data.parquet"];
    assert_eq!(totals, &["key=a n=1 total=2", "key=late n=1 total=3"]);
    project.assert_sound();
}

#[test]
fn a_pipeline_whose_windows_wait_is_held() {
    let project = project("settle = \"1h\"");
    project.feed("a.parquet", &[(DAY_0, "a", 1), (DAY_0 + HOUR, "a", 1)]);
    let old = arrived_at(&project, "a.parquet") - 2 * HOUR;
    crate::support::touch(&project.path("in/a.parquet"), old);
    project.run();
    // The file is written anew, and a late one needs its window.
    project.feed("a.parquet", &[(DAY_0, "a", 2), (DAY_0 + HOUR, "a", 2)]);
    project.feed("late.parquet", &[(DAY_0 + 1, "late", 3)]);
    crate::support::touch(&project.path("in/late.parquet"), old);
    project.run();
    let (exit, status) = project.json(&["status", "--exit-code"]);
    let pipeline = &status["pipelines"][0];
    assert_eq!((exit, &pipeline["state"]), (1, &"held".into()), "{status}");
    assert_eq!(pipeline["windows"]["stale"], 1);
    assert!(pipeline["notes"].to_string().contains("wait for an input"), "{status}");
    let (exit, run) = project.json(&["run"]);
    assert_eq!((exit, &run["pipelines"][0]["windows_held"]), (0, &1.into()), "{run}");
}

#[test]
fn a_file_with_expired_rows_is_refused_and_everything_else_goes_on() {
    let project = project("allowed_lateness = \"2h\"\non_expired = \"fail\"");
    let at = |hour: i64| DAY_0 + hour * HOUR;
    project.feed("a.parquet", &[(at(0), "a", 1), (at(5), "a", 1), (at(8), "a", 1)]);
    project.run();
    project.feed("late.parquet", &[(at(1), "too late", 1), (at(6), "b", 1)]);
    project.feed("other.parquet", &[(at(6), "in time", 1), (at(9), "a", 1)]);
    let (exit, run) = project.json(&["run"]);
    let pipeline = &run["pipelines"][0];
    // What is late and was admitted is computed; the window that would close does not.
    assert_eq!((exit, &pipeline["windows_done"]), (4, &1.into()), "{run}");
    assert_eq!(pipeline["watermark"], "2026-01-01T08:00:00Z");
    assert_eq!(run["errors"][0]["code"], "HW4002");
    let (_, status) = project.json(&["status"]);
    assert_eq!(status["pipelines"][0]["state"], "held", "{status}");
    let (exit, explained) = project.json(&["explain", "tiny", "2026-01-01T06:30"]);
    assert_eq!((exit, &explained["state"]), (0, &"committed".into()), "{explained}");
    // Without the row that is too late, all of it is taken in.
    project.feed("late.parquet", &[(at(6), "b", 1)]);
    let reports = project.run();
    assert_eq!(reports[0].windows_done, 2, "{reports:?}");
    project.assert_sound();
}

#[test]
fn a_source_that_falls_silent_lets_its_last_windows_close() {
    let project = project("idle_timeout = \"6h\"\nwatermark_delay = \"1h\"");
    project.feed("a.parquet", &[(DAY_0, "a", 1), (DAY_0 + 3 * HOUR, "a", 1)]);
    let arrived_at = arrived_at(&project, "a.parquet");
    let report = run_at(&project, arrived_at + 5 * HOUR);
    assert_eq!(watermark(&report).as_deref(), Some("2026-01-01T02:00:00Z"));
    assert!(!kinds(&project).contains(&"watermarks".into()));

    // Seven hours behind the clock: six of silence, and one of delay, long after the events.
    let report = run_at(&project, arrived_at + 6 * HOUR);
    assert_eq!(report.windows_done, 1, "{report:?}");
    let behind = highwater::time::EventTime::from_micros(arrived_at - HOUR);
    assert!(report.watermark.unwrap() <= behind);
    assert!(report.watermark.unwrap().micros() > behind.micros() - HOUR);
    let logged = project.entries("tiny");
    let logged = logged.iter().rfind(|entry| entry["kind"] == "watermarks").unwrap();
    assert_eq!(logged["sources"][0]["by"], "idle");
    assert_eq!(logged["sources"][0]["at"], behind.to_string());

    // What comes after all is late, as any other row would be.
    project.feed("b.parquet", &[(DAY_0 + 3 * HOUR, "b", 1), (DAY_0 + 4 * HOUR, "b", 1)]);
    let report = run_at(&project, arrived_at + 7 * HOUR);
    assert_eq!((report.windows_done, report.rows.late), (2, 2), "{report:?}");
    project.assert_sound();
}

#[test]
fn windows_that_close_by_the_clock_need_no_event_after_them() {
    let project = project("closes = \"clock\"\nwatermark_delay = \"30m\"");
    project.feed("a.parquet", &[(DAY_0, "a", 1), (DAY_0 + 2 * HOUR, "a", 1)]);
    let at = |hours: i64| DAY_0 + hours * HOUR;
    let report = run_at(&project, at(3) + 29 * MINUTE);
    assert_eq!(
        (watermark(&report).as_deref(), report.windows_done),
        (Some("2026-01-01T02:00:00Z"), 1)
    );
    let report = run_at(&project, at(3) + 30 * MINUTE);
    assert_eq!(
        (watermark(&report).as_deref(), report.windows_done),
        (Some("2026-01-01T03:00:00Z"), 1)
    );
    // Between two ends of windows there is nothing to say, and the log does not grow.
    let entries = kinds(&project).len();
    assert!(run_at(&project, at(4) + 29 * MINUTE).is_idle());
    assert_eq!(kinds(&project).len(), entries);
    // Without any event: an empty window, and the clock set back takes nothing back.
    let report = run_at(&project, at(5) + 30 * MINUTE);
    assert_eq!(watermark(&report).as_deref(), Some("2026-01-01T05:00:00Z"));
    let report = run_at(&project, at(1));
    assert_eq!(watermark(&report).as_deref(), Some("2026-01-01T05:00:00Z"));
    project.assert_sound();
}

#[test]
fn a_source_without_a_file_closes_by_the_clock_into_empty_windows() {
    let project = project("closes = \"clock\"");
    let config = TINY.replace("event_time =", "closes = \"clock\"\nevent_time =");
    let begun =
        Project::new(&config.replace("size = \"1h\"", "size = \"1h\"\nbegin = \"2026-01-01\""));
    // Where nothing was ever seen, there is nothing to begin with; unless it is said where.
    assert!(run_at(&project, DAY_0 + 5 * HOUR).is_idle());
    let report = run_at(&begun, DAY_0 + 5 * HOUR);
    assert_eq!(watermark(&report).as_deref(), Some("2026-01-01T05:00:00Z"));
    begun.feed("a.parquet", &[(DAY_0 + HOUR, "late", 1), (DAY_0 + 6 * HOUR, "a", 1)]);
    let report = run_at(&begun, DAY_0 + 7 * HOUR);
    assert_eq!((report.windows_done, report.rows.late), (2, 1), "{report:?}");
    begun.assert_sound();
}
