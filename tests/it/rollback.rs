//! Revisions that are kept, restored and lost; manifests; windows in doubt that cannot be computed.

use std::fs;

use serde_json::Value;

use crate::chain;
use crate::equal::assert_equal;
use crate::kill::{kill_at, run_well};
use crate::support::{DAY_0, HOUR, Outputs, Project, TINY, code, files_below};

/// The first hours that the tiny feeds have rows of.
const RANGE: [&str; 4] = ["--from", "2026-01-01T00", "--to", "2026-01-01T04"];

fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// Four windows with one revision each.
fn published() -> Project {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(1) + 5, "b", 70)]);
    project.feed("b.parquet", &[(at(2), "a", 80), (at(3), "c", 90), (at(4), "c", 90)]);
    project.run();
    project
}

/// The first two windows of them got a second revision.
pub(crate) fn revised() -> Project {
    let project = published();
    project.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(1) + 7, "late", 5)]);
    project.run();
    project
}

/// Runs a command that must end with this code. What it says on stderr.
#[track_caller]
fn ends(project: &Project, args: &[&str], expected: i32) -> String {
    let ended = project.command(args).output().unwrap();
    let said = String::from_utf8(ended.stderr.clone()).unwrap();
    assert_eq!(code(&ended), expected, "{args:?}: {said}");
    said
}

/// `rollback tiny` with these arguments.
fn rollback<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["rollback", "tiny"], args, &["--yes"]].concat()
}

/// How many entries the log has.
fn entries(project: &Project) -> usize {
    project.entries("tiny").len()
}

/// Starts, revisions and what they restore of the windows that entries from `first` on published.
fn commits(project: &Project, first: usize) -> Vec<(String, u64, Option<u64>)> {
    let entries = project.entries("tiny");
    let ends = entries.iter().skip(first).filter(|entry| entry["windows"][0]["rows"].is_object());
    let windows = ends.flat_map(|entry| entry["windows"].as_array().unwrap().clone());
    let window = |window: Value| {
        let start = window["start"].as_str().unwrap()[11..13].to_owned();
        (start, window["rev"].as_u64().unwrap(), window["restores"].as_u64())
    };
    windows.map(window).collect()
}

fn copies(project: &Project) -> Vec<String> {
    files_below(project.path("_highwater/tiny/history"))
}

fn watermark(project: &Project) -> Value {
    project.json(&["status"]).1["pipelines"][0]["watermark"].clone()
}

#[test]
fn a_range_goes_back_and_only_newer_input_makes_it_due_again() {
    let project = published();
    let (first, watermark_before) = (project.outputs(), watermark(&project));
    assert_eq!(copies(&project), [""; 0]);
    project.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(1) + 7, "late", 5)]);
    project.run();
    let second = project.outputs();
    let kept = copies(&project);
    assert_eq!(kept.len(), 4, "two windows of two outputs: {kept:?}");
    assert!(kept.iter().all(|name| !name.ends_with(".parquet")));

    let before = entries(&project);
    run_well(&project, &rollback(&RANGE));
    assert_equal(&project.outputs(), &first);
    project.assert_sound();
    let went = commits(&project, before);
    assert_eq!(went, [("00".to_owned(), 3, Some(1)), ("01".to_owned(), 3, Some(1))]);
    assert_eq!(watermark(&project), watermark_before);
    assert_eq!(project.json(&["requests"]).1["requests"], serde_json::json!([]));

    // Nothing is due: what came is acknowledged.
    let before = entries(&project);
    run_well(&project, &["run"]);
    assert_eq!(entries(&project), before);

    project.feed("later.parquet", &[(at(1) + 9, "late", 1)]);
    run_well(&project, &["run"]);
    let third = project.outputs();
    let zero = |outputs: &Outputs| {
        outputs
            .iter()
            .find(|(key, _)| key.contains("totals") && key.contains("hour=00"))
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(zero(&third), zero(&first));
    let of_one = commits(&project, before);
    assert_eq!(of_one, [("01".to_owned(), 4, None)], "nothing else was due");
    assert_ne!(third, second);
    project.assert_sound();
}

#[test]
fn a_window_goes_to_a_revision_and_a_range_to_an_entry() {
    let project = published();
    let first = project.outputs();
    let (_, history) = project.json(&["history", "tiny"]);
    let first_commit = history["commits"][0]["seq"].to_string();
    for round in 0..2 {
        project.feed(&format!("late-{round}.parquet"), &[(at(0) + 7 + round, "late", 55)]);
        project.run();
    }
    let third = project.outputs();
    run_well(&project, &rollback(&["--window", "2026-01-01T00:30:00Z", "--revision", "1"]));
    assert_equal(&project.outputs(), &first);
    // To undo it is to go back once more.
    run_well(&project, &rollback(&["--window", "2026-01-01T00"]));
    assert_equal(&project.outputs(), &third);
    run_well(&project, &rollback(&[&RANGE[..], &["--to-seq", &first_commit]].concat()));
    assert_equal(&project.outputs(), &first);
    project.assert_sound();

    let (_, history) = project.json(&["history", "tiny"]);
    let newest = &history["commits"][0];
    assert_eq!(
        (&newest["kind"], &newest["windows"][0]["restores"]),
        (&"rollback".into(), &1.into())
    );
    let standing = |place: usize| &history["commits"][place]["windows"][0]["restorable"];
    assert_eq!([standing(0), standing(1), standing(2), standing(3)], [false, true, true, false]);
    let text = project.command(&["history", "tiny"]).output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("back to 1") && text.contains("5*"), "{text}");
    assert!(text.ends_with("* replaced, and kept: `rollback` can go back to it\n"), "{text}");
}

#[test]
fn looking_writes_nothing_and_nobody_is_not_asked() {
    let project = revised();
    let before = (entries(&project), project.outputs());
    let (exit, plan) = project.json(&[&["rollback", "tiny"], &RANGE[..], &["--dry-run"]].concat());
    assert_eq!(exit, 0, "{plan}");
    let windows = plan["rollback"].as_array().unwrap();
    assert_eq!((windows.len(), plan["stay"].as_u64()), (2, Some(2)));
    assert_eq!((&windows[0]["revision"], &windows[0]["restores"]), (&2.into(), &1.into()));
    assert!(ends(&project, &[&["rollback", "tiny"], &RANGE[..]].concat(), 2).contains("HW0003"));
    assert_eq!((entries(&project), project.outputs()), before);
}

#[test]
fn what_cannot_be_restored_is_refused_as_a_whole() {
    let project = revised();
    let before = (entries(&project), project.outputs());
    let refused = |project: &Project, args: &[&str], exit: i32, says: &str| {
        let said = ends(project, &rollback(args), exit);
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!((entries(project), project.outputs()), before, "{args:?}");
    };
    refused(&project, &["--window", "2026-01-01T02"], 2, "has to go back");
    refused(&project, &["--window", "2026-01-02T02"], 2, "ever published");
    refused(&project, &["--window", "2026-01-01T00", "--revision", "7"], 2, "never had");
    refused(&project, &["--window", "2026-01-01T00", "--to-seq", "1"], 2, "published later");

    // One bit of one copy of one output: nothing of the range goes back.
    let copies = copies(&project);
    let damaged =
        copies.iter().find(|name| name.contains("T01") && name.contains("large")).unwrap();
    let path = project.path("_highwater/tiny/history").join(damaged);
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    fs::write(&path, &bytes).unwrap();
    refused(&project, &RANGE, 4, "HW4020");
    fs::remove_file(&path).unwrap();
    refused(&project, &RANGE, 4, "HW4020");
    fs::write(&path, whole).unwrap();
    run_well(&project, &rollback(&RANGE));
    project.assert_sound();
}

#[test]
fn a_revision_that_was_changed_by_hand_is_lost_and_told() {
    let project = revised();
    let object = project.path("out/totals/dt=2026-01-01/hour=00/data.parquet");
    fs::write(&object, "no Parquet").unwrap();
    let args = [&["reprocess", "tiny"], &RANGE[..], &["--yes"]].concat();
    run_well(&project, &args);
    project.assert_sound();
    let (_, history) = project.json(&["history", "tiny"]);
    let lost = &history["commits"][0]["lost"];
    let expected = serde_json::json!([
        {"start": "2026-01-01T00:00:00Z", "revision": 2, "output": "totals"}
    ]);
    assert_eq!(*lost, expected);
    assert!(ends(&project, &rollback(&["--window", "2026-01-01T00"]), 4).contains("lost"));
    // The others go back, and it can go further back.
    run_well(&project, &rollback(&["--window", "2026-01-01T01"]));
    run_well(&project, &rollback(&["--window", "2026-01-01T00", "--revision", "1"]));
    project.assert_sound();
}

#[test]
fn a_window_in_doubt_is_settled_before_it_goes_back() {
    let project = revised();
    project.feed("more.parquet", &[(at(0) + 9, "more", 1)]);
    kill_at(&project, &["run"], "publish.after:1");
    assert!(ends(&project, &rollback(&RANGE), 4).contains("in doubt"));
    run_well(&project, &["run"]);
    run_well(&project, &rollback(&["--window", "2026-01-01T00"]));
    project.assert_sound();
}

#[test]
fn what_is_computed_from_a_window_follows_it_back() {
    let project = chain::fed(7, "reprocess");
    project.run();
    let first = project.outputs();
    project.feed("late.parquet", &[(at(2), "b", 1)]);
    project.run();
    assert_ne!(project.outputs(), first);
    let pipeline = project.spec().pipelines[0].name.to_string();
    let args = ["--from", "2026-01-01", "--to", "2026-01-02", "--yes"];
    run_well(&project, &[&["rollback", pipeline.as_str()], &args[..]].concat());
    run_well(&project, &["run"]);
    assert_equal(&project.outputs(), &first);
    project.assert_sound();
}

#[test]
fn a_manifest_tells_where_the_files_of_any_entry_are() {
    let project = revised();
    let lines = |args: &[&str]| {
        let ended = project.command(&[&["manifest", "tiny"], args].concat()).output().unwrap();
        assert_eq!(code(&ended), 0, "{ended:?}");
        let text = String::from_utf8(ended.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut now = lines(&[]);
    now.sort();
    assert_eq!(now, project.outputs().keys().cloned().collect::<Vec<_>>());

    let (_, history) = project.json(&["history", "tiny"]);
    let first = history["commits"][1]["seq"].to_string();
    let then = lines(&["--as-of", &first]);
    let (old, standing): (Vec<_>, Vec<_>) = then.iter().partition(|path| path.contains("history/"));
    assert_eq!((old.len(), standing.len()), (4, 4));
    let (exit, document) = project.json(&["manifest", "tiny", "--as-of", &first]);
    assert_eq!((exit, &document["as_of"]), (0, &history["commits"][1]["seq"]));
    for file in document["files"].as_array().unwrap() {
        let bytes = fs::read(project.path(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(highwater::hash::Sha256::of(&bytes).to_string(), file["sha256"]);
    }
    assert_eq!(lines(&["--as-of", "1"]), [""; 0]);
    assert!(ends(&project, &["manifest", "tiny", "--as-of", "999"], 2).contains("ends with"));

    fs::remove_file(project.path(old[0])).unwrap();
    let said = ends(&project, &["manifest", "tiny", "--as-of", &first], 4);
    assert!(said.contains("HW4020") && said.contains("2026-01-01 00:00"), "{said}");
}

/// A run was killed when it had published the first window again and the sixth for the first time;
/// by now no query survives the rows that brought that.
pub(crate) fn doubtful() -> Project {
    let project = Project::new(&TINY.replace("sum(value)", "sum(100 / (value + 1))"));
    project.feed("a.parquet", &[(at(0), "a", 60), (at(1), "a", 60)]);
    project.run();
    project.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(5), "late", 60), (at(6), "z", 1)]);
    kill_at(&project, &["run"], "commit.before:1");
    project.feed("late.parquet", &[(at(0) + 7, "late", -1), (at(5), "late", -1), (at(6), "z", 1)]);
    project
}

#[test]
fn what_is_in_doubt_and_cannot_be_computed_is_what_it_was() {
    let project = doubtful();
    assert_ne!(project.problems(), [], "in doubt");
    let before = entries(&project);
    ends(&project, &["run"], 3);
    let (outputs, sound) = (project.outputs(), project.problems());
    assert_eq!(sound, []);
    let rows = |hour: &str| {
        let found = outputs.iter().filter(|(key, _)| key.contains(&format!("hour={hour}/")));
        found.map(|(_, rows)| rows.len()).collect::<Vec<_>>()
    };
    assert_eq!(rows("00"), [1, 1], "the last revision");
    assert_eq!(rows("05"), [0, 0], "it never had one");
    let kinds: Vec<Value> =
        project.entries("tiny")[before..].iter().map(|entry| entry["kind"].clone()).collect();
    assert!(kinds.contains(&"rollback".into()) && kinds.contains(&"abort".into()), "{kinds:?}");
    let (_, status) = project.json(&["status"]);
    let windows = &status["pipelines"][0]["windows"];
    assert_eq!(windows["failed"], 2, "{status}");
    // The next run fails as they do, and restores nothing more.
    let before = entries(&project);
    ends(&project, &["run"], 1);
    assert_eq!(commits(&project, before), []);

    project.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(5), "late", 60), (at(6), "z", 1)]);
    run_well(&project, &["run"]);
    let whole = Project::new(&TINY.replace("sum(value)", "sum(100 / (value + 1))"));
    whole.feed("a.parquet", &[(at(0), "a", 60), (at(1), "a", 60)]);
    whole.feed("late.parquet", &[(at(0) + 7, "late", 55), (at(5), "late", 60), (at(6), "z", 1)]);
    whole.run();
    assert_equal(&project.outputs(), &whole.outputs());
    project.assert_sound();
}

#[test]
fn what_is_in_doubt_and_has_no_copy_stays_so_and_is_told() {
    let project = doubtful();
    for copy in copies(&project) {
        fs::remove_file(project.path("_highwater/tiny/history").join(copy)).unwrap();
    }
    let said = ends(&project, &["run"], 3);
    assert!(said.contains("stays in doubt") && said.contains("HW4020"), "{said}");
    assert!(!project.problems().is_empty());
}
