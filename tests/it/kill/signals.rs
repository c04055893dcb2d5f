//! SIGTERM lets the batch in hand finish; a second one ends the process at once.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{fed_many, run_well, start_and_stop_at};
use crate::equal::assert_equal;

fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
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
