//! A run is stopped, another one takes over, and the first goes on: nothing of it lands.

use std::io::Read;
use std::process::{Child, Command};

use serde_json::Value;

use super::kills::{expected, rows};
use super::{CANARY, Lake};
use crate::equal::assert_equal;
use crate::support::{block_on, code, document, each};

/// Where the first run is stopped.
const POINTS: &[&str] = &[
    "claim.before:1",
    "claim.after:1",
    "segment.after:1",
    "inputs.before:1",
    "inputs.after:1",
    "begin.before:1",
    "begin.after:1",
    "compute.before:1",
    "compute.after:1",
    "observe.after:1",
    "observe.after:4",
    "publish.before:1",
    "publish.before:2",
    "publish.after:1",
    "publish.after:4",
    "commit.before:1",
    "commit.after:1",
    "release.before:1",
    "release.after:1",
    "checkpoint.after:1",
];

/// Takeovers at each point.
const ROUNDS: i64 = 3;

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Waits until the process is stopped as a whole, or has ended. Whether it is stopped.
fn is_stopped(child: &mut Child) -> bool {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
        let stat = stat.unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        match state {
            Some('T') => return true,
            None | Some('Z') => return false,
            Some(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}

fn take_over(lake: &Lake, point: &str, round: i64) -> i32 {
    for (name, rows) in ["new", "late"].into_iter().zip(rows(round)) {
        lake.feed(&format!("{name}-{round}.parquet"), &rows);
    }
    let mut first = lake.start("HIGHWATER_PAUSE_AT", point);
    let stopped = is_stopped(&mut first);
    // The second one works, or finds that all is done.
    let second = lake.command(&["run", "--format", "json"]).output().unwrap();
    assert_eq!(code(&second), 0, "{point}: {}", document(&second));
    let after = lake.outputs();
    if stopped {
        signal(&first, "-CONT");
    }
    let mut said = String::new();
    first.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let ended = first.wait().unwrap().code().expect("it was not killed");
    assert!(!said.contains(CANARY) && !said.contains("panicked"), "{said}");
    assert_equal(&lake.outputs(), &after);
    ended
}

#[test]
fn a_stopped_run_that_goes_on_after_a_takeover_touches_nothing() {
    let check = |point: &&str| {
        let Some(lake) = Lake::new() else { return };
        let ended: Vec<i32> = (0..ROUNDS).map(|round| take_over(&lake, point, round)).collect();
        // Fenced; or its lease was lost before it had it; or it was done when it was stopped.
        assert!(ended.iter().all(|code| [0, 11, 12].contains(code)), "{point}: {ended:?}");
        // Once the commit is in the log, whoever comes next has nothing to take over for.
        let done = ["commit.after:1", "release.before:1", "release.after:1", "checkpoint.after:1"];
        let is_harmless = done.contains(point);
        assert!(is_harmless || ended.iter().all(|code| *code != 0), "{point}: {ended:?}");
        assert_equal(&lake.outputs(), &expected(ROUNDS));
        lake.assert_sound();
    };
    each(2, POINTS, |point| (*point).to_owned(), check);
}

#[test]
fn a_run_beside_a_living_one_steps_aside() {
    let Some(lake) = Lake::new() else { return };
    let [news, _] = rows(0);
    lake.feed("new.parquet", &news);
    // One thread stands still, but the heart beats on.
    let mut first = lake.start("HIGHWATER_STOP_AT", "compute.after:1");
    let mut said = [0; 1024];
    let mut stderr = first.stderr.take().unwrap();
    let mut text = String::new();
    while !text.contains("stopped at") {
        let len = stderr.read(&mut said).unwrap();
        assert!(len > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&said[..len]));
    }
    let second = lake.command(&["run", "--format", "json"]).output().unwrap();
    assert_eq!(code(&second), 11, "{}", document(&second));
    let lease = lake.command(&["lease", "--format", "json"]).output().unwrap();
    let lease = document(&lease);
    let holder = &lease["leases"][0]["holder"];
    assert_eq!(holder["pid"], first.id(), "{lease}");
    assert_eq!(holder["process"], "there", "{lease}");
    assert_eq!(holder["windows_planned"], 2, "{lease}");

    // Asked for meanwhile, and done by whoever comes next.
    let ask = ["reprocess", "tiny", "--from", "2026-01-01", "--to", "2026-01-02", "--yes"];
    let asked = lake.command(&ask).args(["--format", "json"]).output().unwrap();
    assert_eq!(code(&asked), 0, "{}", document(&asked));

    // By force: the holder is not asked.
    let released = lake.command(&["lease", "tiny", "--release", "--yes"]).output().unwrap();
    assert_eq!(code(&released), 0, "{released:?}");
    lake.run_well();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(lake.outputs().len(), 4);
    lake.assert_sound();
    let left = block_on(super::Store::list(lake.store.as_ref(), "_highwater/tiny/inbox/")).unwrap();
    assert_eq!(left.len(), 0, "{left:?}");
    let history = document(&lake.command(&["history", "tiny", "--format=json"]).output().unwrap());
    assert!(history["commits"].as_array().is_some_and(|all| !all.is_empty()), "{history}");
    let requests = document(&lake.command(&["requests", "--format=json"]).output().unwrap());
    assert_eq!(requests["requests"], Value::Array(Vec::new()));
}
