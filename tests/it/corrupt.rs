//! Files that cannot be read: they hold everything, or are left out and told.

use std::fs;

use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, code};

fn at(hour: i64) -> i64 {
    DAY_0 + hour * HOUR
}

fn leaving_out() -> Project {
    let project = Project::new(&TINY.replace(
        "event_time = \"event_time\"",
        "event_time = \"event_time\"\non_corrupt_file = \"quarantine\"",
    ));
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(2), "a", 60)]);
    project
}

/// Half of the file `name`; and the whole of it, for later.
fn cut(project: &Project, name: &str) -> Vec<u8> {
    let path = project.path(&format!("in/{name}"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    whole
}

fn mend(project: &Project, name: &str, whole: &[u8]) {
    fs::write(project.path(&format!("in/{name}")), whole).unwrap();
}

fn names(told: &Value) -> bool {
    told.to_string().contains("cannot read in/cut.parquet")
}

#[test]
fn a_new_file_that_cannot_be_read_is_left_out_told_everywhere_and_taken_in_once_it_is_whole() {
    let project = leaving_out();
    project.feed("cut.parquet", &[(at(0), "late", 1), (at(3), "b", 2)]);
    let whole = cut(&project, "cut.parquet");
    let (exit, told) = project.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["windows_done"]), (0, &2.into()), "{told}");
    assert!(names(&told["pipelines"][0]["left_out"]), "{told}");
    assert_eq!(told["errors"], serde_json::json!([]));
    let (exit, told) = project.json(&["run"]);
    assert!(exit == 0 && names(&told["pipelines"][0]["left_out"]), "{told}");
    let text = project.command(&["run"]).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("  left out: HW3001 cannot read"));
    assert!(names(&project.json(&["status"]).1["pipelines"][0]["notes"]));
    assert!(names(&project.json(&["explain", "tiny", "2026-01-01T00"]).1["notes"]));

    mend(&project, "cut.parquet", &whole);
    let (exit, told) = project.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["windows_done"]), (0, &2.into()), "{told}");
    assert!(!names(&told));
    assert_eq!(project.outputs()["out/totals/dt=2026-01-01/hour=00/data.parquet"].len(), 2);
    project.assert_sound();
}

#[test]
fn windows_that_need_what_a_file_was_wait_for_it_and_no_others() {
    let project = leaving_out();
    project.feed("cut.parquet", &[(at(1), "b", 2), (at(2), "b", 2)]);
    project.run();
    let before = project.outputs();
    // Hour 2 is open, and has a row of the file; hour 3 has none.
    let whole = cut(&project, "cut.parquet");
    project.feed("c.parquet", &[(at(3), "c", 1), (at(4), "c", 1)]);
    let (exit, told) = project.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["windows_held"]), (0, &1.into()), "{told}");
    assert_eq!(told["pipelines"][0]["watermark"], "2026-01-01T02:00:00Z");
    for (key, rows) in &before {
        assert_eq!(project.outputs().get(key), Some(rows), "{key} did not stand");
    }
    assert!(project.outputs().contains_key("out/totals/dt=2026-01-01/hour=03/data.parquet"));
    mend(&project, "cut.parquet", &whole);
    let (exit, told) = project.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["watermark"]), (0, &"2026-01-01T04:00:00Z".into()));
    assert_eq!(project.outputs()["out/totals/dt=2026-01-01/hour=02/data.parquet"].len(), 2);
    project.assert_sound();
}

#[test]
fn unless_told_so_it_holds_every_new_window_and_is_named() {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60)]);
    project.feed("cut.parquet", &[(at(0), "b", 2)]);
    let whole = cut(&project, "cut.parquet");
    let ended = project.command(&["run"]).output().unwrap();
    assert_ne!(code(&ended), 0);
    assert!(String::from_utf8_lossy(&ended.stderr).contains("cannot read in/cut.parquet"));
    assert!(project.outputs().is_empty());
    let (_, told) = project.json(&["status"]);
    assert_eq!(told["pipelines"][0]["state"], "held");
    assert!(names(&told["pipelines"][0]["notes"]), "{told}");
    mend(&project, "cut.parquet", &whole);
    project.run();
    assert_eq!(project.outputs().len(), 2);
}
