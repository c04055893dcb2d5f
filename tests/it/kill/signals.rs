//! SIGTERM lets the batch in hand finish, within a grace; a second one ends the process at once.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{at, fed_many, kill, run_well, start_and_stop_at};
use crate::equal::assert_equal;
use crate::support::{Project, TINY, code, document};

/// The totals of [`TINY`]; those of the key `endless` are never found.
const ENDLESS: &str = "WITH RECURSIVE found AS (SELECT key, value FROM events \
    UNION ALL SELECT key, value FROM found WHERE key = 'endless') \
    SELECT key, count(*) AS n, sum(value) AS total FROM found GROUP BY key";

/// The longest that a process may take that ends soon, by any measure.
const SOON: Duration = Duration::from_mins(1);

fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until `look` finds something.
fn soon<T>(child: &mut Child, look: impl Fn(&mut Child) -> Option<T>) -> T {
    let pause = Duration::from_millis(50);
    for _ in 0..SOON.as_millis() / pause.as_millis() {
        if let Some(found) = look(child) {
            return found;
        }
        std::thread::sleep(pause);
    }
    let _ = child.kill();
    panic!("it never comes");
}

#[test]
fn the_first_sigterm_finishes_a_batch_and_lets_go_of_the_lease() {
    let before = fed_many();
    let whole = before.copy();
    run_well(&whole, &["run"]);
    let mut interrupted = 0;
    for tenths in 1..10 {
        let project = before.copy();
        let mut command = project.command(&["run"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(50) * tenths);
        terminate(&child);
        match child.wait().unwrap().code() {
            Some(143) => {
                interrupted += 1;
                let entries = project.entries("tiny");
                assert!(entries.last().is_none_or(|last| last["kind"] == "release"), "{entries:?}");
                project.assert_sound();
            }
            // It was done already, or did not listen yet.
            Some(0) | None => {}
            other => panic!("{other:?}"),
        }
        run_well(&project, &["run"]);
        assert_equal(&project.outputs(), &whole.outputs());
    }
    assert!(interrupted > 0, "no run was interrupted");
}

#[test]
fn the_second_sigterm_ends_the_process_at_once() {
    let project = fed_many();
    let (mut child, mut stderr) = start_and_stop_at(&project, &["run"], "publish.after:9");
    terminate(&child);
    let mut said = String::new();
    while !said.contains("once more stops at once") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    run_well(&project, &["run"]);
    project.assert_sound();
}

#[test]
fn a_window_that_is_not_computed_in_time_is_left_for_the_next_run() {
    let quick = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key";
    let project = Project::new(&TINY.replace(quick, ENDLESS));
    let keys = ["a", "endless", "b", "c", "d", "e"];
    let rows: Vec<_> = (0..).zip(keys).map(|(hour, key)| (at(hour), key, 60)).collect();
    project.feed("a.parquet", &rows);
    let mut child = project.command(&["run"]).stdout(Stdio::null()).spawn().unwrap();
    // The endless window holds up no other.
    let staged = || std::fs::read_dir(project.path("_highwater/tiny/tmp"));
    soon(&mut child, |child| {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        (staged().map_or(0, Iterator::count) >= 9).then_some(())
    });
    terminate(&child);
    let ended = soon(&mut child, |child| child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(143));
    let entries = project.entries("tiny");
    assert_eq!(entries.last().unwrap()["kind"], "release", "{entries:?}");
    assert_eq!(project.outputs().len(), 8);
    let status = project.json(&["status"]).1;
    let windows = &status["pipelines"][0]["windows"];
    assert_eq!((&windows["failed"], &windows["pending"]), (&0.into(), &1.into()), "{status}");
    project.assert_sound();

    std::fs::write(project.path("config.toml"), TINY).unwrap();
    let (exit_code, report) = project.json(&["run"]);
    assert_eq!((exit_code, &report["pipelines"][0]["windows_done"]), (0, &1.into()), "{report}");
    let windows = &project.entries("tiny");
    let begun = windows.iter().rev().find(|entry| entry["kind"] == "begin").unwrap();
    assert_eq!(begun["windows"][0]["reason"], "new");
    let whole = Project::new(TINY);
    whole.feed("a.parquet", &rows);
    assert_eq!(code(&whole.command(&["run"]).output().unwrap()), 0);
    assert_equal(&project.outputs(), &whole.outputs());
    project.assert_sound();
}

/// Joins each row with all pairs of rows: with a few thousand of them it computes for days, and
/// never waits for anything.
const BUSY: &str = "SELECT a.key, count(*) AS n, sum(c.value) AS total \
    FROM events a, events b, events c WHERE (a.value + b.value * c.value) % 7 = 1 GROUP BY a.key";

#[test]
fn a_query_that_never_waits_holds_up_no_signal() {
    let quick = "SELECT key, count(*) AS n, sum(value) AS total FROM events GROUP BY key";
    let project = Project::new(&TINY.replace(quick, BUSY));
    let rows = |hour| (0..4_000).map(move |value| (at(hour), "a", value));
    let rows: Vec<_> = (0..3).flat_map(rows).collect();
    project.feed("a.parquet", &rows);
    let mut child = project.command(&["run"]).stdout(Stdio::null()).spawn().unwrap();
    // A window is staged output by output, and the first one is never done.
    let staged = || std::fs::read_dir(project.path("_highwater/tiny/tmp"));
    soon(&mut child, |child| {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        (staged().map_or(0, Iterator::count) >= 2).then_some(())
    });
    // Both threads are at it by now.
    std::thread::sleep(Duration::from_secs(1));
    terminate(&child);
    let ended = soon(&mut child, |child| child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(143));
    let entries = project.entries("tiny");
    assert_eq!(entries.last().unwrap()["kind"], "release", "{entries:?}");
    project.assert_sound();
}

#[test]
fn a_run_that_waits_for_the_lease_ends_too() {
    let project = Project::new(&format!("{TINY}\n[lease]\nwait = \"10m\"\n"));
    project.feed("a.parquet", &[(at(0), "a", 60), (at(1), "a", 60)]);
    let (mut holder, _) = start_and_stop_at(&project, &["run"], "begin.after:1");
    let before = project.entries("tiny");
    let mut child = project.command(&["run"]).stdout(Stdio::null()).spawn().unwrap();
    soon(&mut child, |child| {
        let mut open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        open.any(|file| {
            file.unwrap().path().read_link().is_ok_and(|path| path.ends_with("tiny/lock"))
        })
        .then_some(())
    });
    terminate(&child);
    let ended = soon(&mut child, |child| child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(143));
    assert_eq!(project.entries("tiny"), before);
    kill(&mut holder);
    run_well(&project, &["run"]);
    project.assert_sound();
}

#[test]
fn the_last_words_of_a_process_that_ends_at_once_are_a_document() {
    let project = fed_many();
    let mut command = project.command(&["run", "--format", "json"]);
    command.env("HIGHWATER_STOP_AT", "publish.after:9");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    for (signal, words) in [(false, "stopped at"), (true, "once more stops at once")] {
        if signal {
            terminate(&child);
        }
        while !said.contains(words) {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
        }
    }
    terminate(&child);
    let ended = child.wait_with_output().unwrap();
    let document = document(&ended);
    assert_eq!((code(&ended), &document["exit_code"]), (143, &143.into()), "{document}");
    assert_eq!(document["errors"][0]["code"], "HW7002", "{document}");
    run_well(&project, &["run"]);
    project.assert_sound();
}
