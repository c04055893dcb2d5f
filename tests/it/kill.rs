//! The real binary is killed, at every instant that has a name and at random ones; the next plain
//! run ends where an undisturbed one would have.

mod points;
mod random;
mod scenarios;
mod signals;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use serde_json::json;

use crate::equal::assert_equal;
use crate::support::{Outputs, Project, code, each, files_below};
pub(crate) use scenarios::FUTURE;
use scenarios::{SCENARIOS, at, damaged, fed, fed_many};

/// Cases that run at the same time.
const AT_ONCE: usize = 2;

/// A command that is killed, and the places where: `name:count`.
struct Scenario {
    before: fn() -> Project,
    command: &'static [&'static str],
    /// What happens to the project between the kill and the next run.
    mend: fn(&Project),
    points: &'static [&'static str],
}

/// Starts the binary and waits until it stands still at `point`. Also what it says from then on.
fn start_and_stop_at(
    project: &Project,
    args: &[&str],
    point: &str,
) -> (Child, BufReader<ChildStderr>) {
    let mut command = project.command(args);
    command.env("HIGHWATER_STOP_AT", point).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = format!("stopped at {}", point.split(':').next().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut before = String::new();
    while stderr.read_line(&mut before).unwrap() > 0 {
        if before.lines().last() == Some(&said) {
            return (child, stderr);
        }
    }
    let ended = child.wait().unwrap();
    panic!("{args:?} never came to {point}, {ended}: {before}");
}

/// Starts the binary and kills it at `point`.
pub(crate) fn kill_at(project: &Project, args: &[&str], point: &str) {
    kill(&mut start_and_stop_at(project, args, point).0);
}

/// `kill -9`.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The holder of a lease who does not let go of it.
pub(crate) fn hold(project: &Project, point: &str) -> Child {
    start_and_stop_at(project, &["run"], point).0
}

/// Runs the binary; it must end well.
pub(crate) fn run_well(project: &Project, args: &[&str]) {
    let ended = project.command(args).output().unwrap();
    assert_eq!(code(&ended), 0, "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// Whether what the command asks for is in the log, so that nobody needs to ask again.
fn is_asked(project: &Project, command: &[&str]) -> bool {
    let asks = |entry: &serde_json::Value| entry["kind"] == "request" || entry["kind"] == "skip";
    command[0] == "run" || project.entries("tiny").iter().any(asks)
}

/// What readers get to see. Whether a window without a row has an object depends on whether it ever
/// had a row when a run looked at it.
fn with_rows(mut outputs: Outputs) -> Outputs {
    outputs.retain(|_, rows| !rows.is_empty());
    outputs
}

impl Scenario {
    /// What an undisturbed command and run give.
    fn expected(&self, before: &Project) -> Outputs {
        let project = before.copy();
        // It may fail: what makes it fail is mended afterwards.
        project.command(self.command).output().unwrap();
        (self.mend)(&project);
        run_well(&project, &["run"]);
        project.assert_sound();
        with_rows(project.outputs())
    }

    fn check(&self, before: &Project, expected: &Outputs, point: &str) {
        let project = before.copy();
        kill_at(&project, self.command, point);
        (self.mend)(&project);
        if !is_asked(&project, self.command) {
            run_well(&project, self.command);
        }
        run_well(&project, &["run"]);
        assert_equal(&with_rows(project.outputs()), expected);
        project.assert_sound();
        let (_, requests) = project.json(&["requests"]);
        assert_eq!(requests["requests"], json!([]), "{requests}");
        assert_eq!(files_below(project.path("_highwater/tiny/tmp")), [""; 0]);
    }
}

#[test]
fn a_plain_run_finishes_whatever_was_killed_at_a_named_point() {
    let ready: Vec<_> = SCENARIOS
        .iter()
        .map(|scenario| {
            let before = (scenario.before)();
            let expected = scenario.expected(&before);
            (scenario, before, expected)
        })
        .collect();
    let cases = ready.iter().flat_map(|case| case.0.points.iter().map(move |point| (case, *point)));
    let cases: Vec<_> = cases.collect();
    each(
        AT_ONCE,
        &cases,
        |((scenario, ..), point)| format!("{:?} killed at {point}", scenario.command),
        |((scenario, before, expected), point)| scenario.check(before, expected, point),
    );
}

#[test]
fn a_recovery_that_is_killed_again_and_again_gets_there() {
    for scenario in &SCENARIOS[..2] {
        let before = (scenario.before)();
        let expected = scenario.expected(&before);
        let points = [
            "publish.after:1",
            "begin.after:1",
            "publish.before:3",
            "claim.after:1",
            "commit.before:1",
        ];
        for point in points {
            kill_at(&before, &["run"], point);
        }
        run_well(&before, &["run"]);
        assert_equal(&with_rows(before.outputs()), &expected);
        before.assert_sound();
    }
}

#[test]
fn what_was_begun_is_finished_even_if_nobody_asks_for_it_any_more() {
    let project = damaged();
    let reprocess = SCENARIOS.iter().find(|scenario| scenario.command[0] == "reprocess").unwrap();
    kill_at(&project, reprocess.command, "publish.after:3");
    let (_, requests) = project.json(&["requests"]);
    let id = requests["requests"][0]["id"].as_str().unwrap();
    run_well(&project, &["requests", "tiny", "--cancel", id, "--yes"]);
    run_well(&project, &["run"]);
    let whole = fed();
    whole.run();
    assert_equal(&project.outputs(), &whole.outputs());
    project.assert_sound();
}

#[test]
fn what_a_killed_process_staged_is_swept_by_the_next_that_writes() {
    let project = fed();
    kill_at(&project, &["run"], "compute.after:1");
    let staging = project.path("_highwater/tiny/tmp");
    let creating = "create-01a1f814-e0fc-70df-b23c-bd853d54dc04";
    fs::write(staging.join(creating), "half of an ent").unwrap();
    assert_eq!(files_below(&staging).len(), 9);
    run_well(&project, &["run"]);
    assert_eq!(files_below(staging), [""; 0]);
}
