//! Rows that belong to no window are kept aside, one object for each source file that has some.

mod told;

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::kill::{FUTURE, kill_at, run_well};
use crate::support::{DAY_0, HOUR, Project, TINY, code, rows_of};

fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

/// Where the rows of the file `name` lie.
fn object(name: &str) -> String {
    format!("quarantine_time/tiny/events/{name}")
}

fn aside(project: &Project, name: &str) -> Vec<String> {
    rows_of(&project.path(&object(name)))
}

fn fed(config: &str) -> Project {
    let project = Project::new(config);
    project.feed("x/a.parquet", &[(at(0), "a", 10), (FUTURE, "ahead", 60), (at(1), "a", 60)]);
    project.feed("b.parquet", &[(at(2), "a", 80)]);
    project
}

#[test]
fn a_row_without_a_window_is_kept_aside_whole_and_goes_with_the_version_of_its_file() {
    let project = fed(TINY);
    project.run();
    let rows = aside(&project, "x/a.parquet");
    assert_eq!(rows.len(), 1);
    for known in [
        "key=ahead value=60",
        "_rule=future",
        "_rules=[future]",
        "_reason=its event time is more than 1d ahead of its file",
        "_source_file=in/x/a.parquet",
        "_source_row=1",
        "_window_start=",
    ] {
        assert!(rows[0].contains(known), "{known}: {rows:?}");
    }
    assert!(!project.path(&object("b.parquet")).exists());
    project.assert_sound();
    let entries = project.entries("tiny").len();
    project.run();
    assert_eq!(project.entries("tiny").len(), entries, "there was something to do again");

    // Another version of the file has other rows aside, or none: then the object has no row.
    project.feed("x/a.parquet", &[(at(0), "a", 10), (FUTURE, "b", 1), (FUTURE, "c", 2)]);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet").len(), 2);
    project.feed("x/a.parquet", &[(at(0), "a", 10)]);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet"), [""; 0]);
    project.assert_sound();
    let entries = project.entries("tiny").len();
    project.run();
    assert_eq!(project.entries("tiny").len(), entries, "there was something to do again");
}

#[test]
fn what_came_too_late_is_kept_aside_with_the_window_it_was_of() {
    let config = TINY.replace(
        "event_time = \"event_time\"",
        "event_time = \"event_time\"\nallowed_lateness = \"1h\"",
    );
    let project = Project::new(&config);
    project.feed("a.parquet", &[(at(0), "a", 10), (at(6), "a", 60)]);
    project.run();
    project.feed("late.parquet", &[(at(0) + 5, "late", 1), (at(5), "in time", 2)]);
    project.run();
    let rows = aside(&project, "late.parquet");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].contains("key=late value=1 _rule=expired"), "{rows:?}");
    assert!(rows[0].contains("_window_start=2026-01-01T00:00:00Z"), "{rows:?}");
    assert_eq!(project.outputs()["out/totals/dt=2026-01-01/hour=05/data.parquet"].len(), 1);
    project.assert_sound();
}

#[test]
fn what_is_asked_of_such_rows_can_change() {
    let drop = TINY.replace(
        "event_time = \"event_time\"",
        "event_time = \"event_time\"\non_null_time = \"drop\"",
    );
    let mut project = fed(&drop);
    project.run();
    assert!(!project.path("quarantine_time").exists());
    project.configure(TINY);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet").len(), 1);
    project.configure(&drop);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet"), [""; 0]);
    project.assert_sound();
}

#[test]
fn a_file_that_is_gone_keeps_what_it_had_aside_and_holds_up_nothing() {
    let project = fed(TINY);
    project.run();
    fs::remove_file(project.path("in/x/a.parquet")).unwrap();
    project.feed("c.parquet", &[(at(3), "a", 80)]);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet").len(), 1);
    project.assert_sound();
    // Where its rows are no more, none of them is aside.
    let recompute = TINY.replace(
        "event_time = \"event_time\"",
        "event_time = \"event_time\"\non_removed = \"recompute\"",
    );
    let mut project = project;
    project.configure(&recompute);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet"), [""; 0]);
    project.assert_sound();
}

#[test]
fn damage_is_found_and_a_retirement_takes_all_of_it_away() {
    let project = fed(TINY);
    project.run();
    let path = project.path(&object("x/a.parquet"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let (exit, told) = project.json(&["verify"]);
    let problem = &told["problems"][0];
    assert_eq!((exit, &problem["kind"]), (1, &json!("size")), "{told}");
    assert_eq!(problem["path"], object("x/a.parquet").as_str());
    fs::remove_file(&path).unwrap();
    assert_eq!(project.json(&["verify"]).1["problems"][0]["kind"], "missing");
    fs::write(&path, &whole).unwrap();
    project.assert_sound();
    run_well(&project, &["retire", "tiny", "--yes"]);
    assert!(!path.exists());
    assert!(!project.path("quarantine_time/tiny/_OWNER.json").exists());
    project.run();
    assert_eq!(aside(&project, "x/a.parquet").len(), 1);
    project.assert_sound();
}

#[test]
fn an_object_that_is_gone_is_in_nobodys_way() {
    let project = fed(TINY);
    project.run();
    let path = project.path(&object("x/a.parquet"));
    fs::remove_file(&path).unwrap();
    project.feed("x/a.parquet", &[(at(0), "a", 10), (at(1), "a", 60)]);
    project.run();
    assert_eq!(aside(&project, "x/a.parquet"), [""; 0]);
    project.assert_sound();
}

#[test]
fn what_was_begun_and_is_not_needed_any_more_is_settled() {
    for point in ["begin_aside.after:1", "publish.before:1", "publish.after:1"] {
        let project = fed(TINY);
        kill_at(&project, &["run"], point);
        project.feed("x/a.parquet", &[(at(0), "a", 10), (at(1), "a", 60)]);
        project.run();
        assert_eq!(aside(&project, "x/a.parquet"), [""; 0], "{point}");
        project.assert_sound();
    }
}

#[test]
fn rows_that_cannot_be_read_again_are_told_and_hold_up_no_window() {
    let project = fed(TINY);
    let mut command = project.command(&["run"]);
    command.env("HIGHWATER_PAUSE_AT", "begin_aside.before:1").stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert_eq!(child.try_wait().unwrap(), None, "it never came to that point");
        thread::sleep(Duration::from_millis(10));
    }
    // The file is replaced under its hands, with as many rows of the kind.
    let rows = [(at(0), "a", 10), (FUTURE, "other", 60), (at(1), "a", 60), (at(1), "b", 60)];
    project.feed("x/a.parquet", &rows);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    let ended = child.wait().unwrap();
    assert_ne!(ended.code(), Some(0));
    run_well(&project, &["run"]);
    assert!(aside(&project, "x/a.parquet")[0].contains("key=other"));
    project.assert_sound();
}

#[test]
fn the_folder_must_be_one_for_all_windows() {
    let project = fed(TINY);
    let with = |folder: &str| {
        let quality = format!("[pipeline.tiny.quality]\nquarantine_time = \"{folder}\"\n");
        fs::write(project.path("config.toml"), format!("{TINY}\n{quality}")).unwrap();
        let ended = project.command(&["run"]).output().unwrap();
        (code(&ended), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    for (folder, said) in [
        ("aside/dt={start:%Y-%m-%d}", "it names the window"),
        ("in/aside", "overlap"),
        ("out/totals/aside", "overlap"),
    ] {
        let (exit, told) = with(folder);
        assert!(exit == 2 && told.contains(said), "{folder}: {told}");
    }
    assert_eq!(with("elsewhere").0, 0);
    assert_eq!(rows_of(&project.path("elsewhere/events/x/a.parquet")).len(), 1);
}
