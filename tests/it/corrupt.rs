//! Files that cannot be read: they hold everything, or are left out and told.

use std::fs;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::support::{DAY_0, HOUR, Project, TINY, code, touch};

/// When files seem to be written whose bytes rot later: so long ago that no hash is kept of them.
const LONG_AGO: i64 = DAY_0 + 20 * 24 * HOUR;

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

/// Makes the pages of the column `value` unreadable, and nothing else of the file `name`; and the
/// whole of it, for later.
fn break_pages(project: &Project, name: &str) -> Vec<u8> {
    let path = project.path(&format!("in/{name}"));
    let whole = fs::read(&path).unwrap();
    let file = SerializedFileReader::new(Bytes::from(whole.clone())).unwrap();
    let mut columns = file.metadata().row_group(0).columns().iter();
    let column = columns.find(|column| column.column_path().string() == "value").unwrap();
    let (start, len) = column.byte_range();
    let pages = usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap();
    let mut broken = whole.clone();
    broken[pages].fill(0xff);
    fs::write(&path, &broken).unwrap();
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
fn a_file_with_a_broken_page_of_any_column_is_left_out_as_one_without_a_footer_is() {
    let project = leaving_out();
    project.feed("cut.parquet", &[(at(0), "late", 1), (at(3), "b", 2)]);
    let whole = break_pages(&project, "cut.parquet");
    for done in [2, 0] {
        let (exit, told) = project.json(&["run"]);
        assert_eq!((exit, &told["pipelines"][0]["windows_done"]), (0, &done.into()), "{told}");
        assert!(names(&told["pipelines"][0]["left_out"]), "{told}");
    }
    assert!(names(&project.json(&["status"]).1["pipelines"][0]["notes"]));
    assert!(names(&project.json(&["explain", "tiny", "2026-01-01T00"]).1["notes"]));
    let books = project.json(&["verify", "--balance"]).1["balance"].clone();
    assert_eq!((&books["files"], &books["rows"]), (&1.into(), &3.into()), "{books}");

    mend(&project, "cut.parquet", &whole);
    let (exit, told) = project.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["windows_done"]), (0, &2.into()), "{told}");
    assert!(!names(&told));
    // What it is later waits for what it will be.
    break_pages(&project, "cut.parquet");
    project.feed("c.parquet", &[(at(4), "c", 1)]);
    let (exit, told) = project.json(&["run"]);
    assert_eq!((exit, &told["pipelines"][0]["windows_held"]), (0, &1.into()), "{told}");
    mend(&project, "cut.parquet", &whole);
    project.run();
    assert_eq!(project.outputs()["out/totals/dt=2026-01-01/hour=03/data.parquet"].len(), 1);
    project.assert_sound();
}

#[test]
fn pages_that_rot_once_the_file_is_admitted_fail_its_windows_and_no_others() {
    for project in [leaving_out(), Project::new(TINY)] {
        project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60), (at(2), "a", 60)]);
        project.feed("cut.parquet", &[(at(2), "b", 2)]);
        for name in ["a.parquet", "cut.parquet"] {
            touch(&project.path(&format!("in/{name}")), LONG_AGO);
        }
        project.run();
        let before = project.outputs();
        let whole = break_pages(&project, "cut.parquet");
        touch(&project.path("in/cut.parquet"), LONG_AGO);
        project.feed("c.parquet", &[(at(3), "c", 1), (at(4), "c", 1)]);
        let (exit, told) = project.json(&["run"]);
        let failure = &told["pipelines"][0]["failures"][0];
        assert_eq!((exit, &failure["code"]), (3, &"HW3001".into()), "{told}");
        assert!(names(failure) && failure.to_string().contains("put a whole file"), "{failure}");
        assert!(!failure.to_string().contains("on_corrupt_file"), "it would not help: {failure}");
        assert_eq!(told["pipelines"][0]["watermark"], "2026-01-01T02:00:00Z");
        for (key, rows) in &before {
            assert_eq!(project.outputs().get(key), Some(rows), "{key} did not stand");
        }
        // It counts as admitted, and its row as pending: no book is cooked.
        let books = project.json(&["verify", "--balance"]);
        assert_eq!((books.0, &books.1["balance"]["pending"]), (0, &2.into()), "{}", books.1);
        mend(&project, "cut.parquet", &whole);
        project.run();
        assert_eq!(project.outputs()["out/totals/dt=2026-01-01/hour=02/data.parquet"].len(), 2);
        project.assert_sound();
    }
}

#[test]
fn unless_told_so_it_holds_every_new_window_and_is_named() {
    let project = Project::new(TINY);
    project.feed("a.parquet", &[(at(0), "a", 10), (at(1), "a", 60)]);
    project.feed("cut.parquet", &[(at(0), "b", 2)]);
    let whole = cut(&project, "cut.parquet");
    let ended = project.command(&["run"]).output().unwrap();
    assert_ne!(code(&ended), 0);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("cannot read in/cut.parquet"));
    assert!(said.contains("or set on_corrupt_file = \"quarantine\" for source events"), "{said}");
    assert!(project.outputs().is_empty());
    let (_, told) = project.json(&["status"]);
    assert_eq!(told["pipelines"][0]["state"], "held");
    assert!(names(&told["pipelines"][0]["notes"]), "{told}");
    mend(&project, "cut.parquet", &whole);
    project.run();
    assert_eq!(project.outputs().len(), 2);
}
